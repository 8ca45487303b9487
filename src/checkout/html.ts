/** HTML of values that others chose: everything that is put in is escaped, unless it is HTML of ours. */

export interface Html {
  readonly html: string;
}

const ENTITIES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

/** Texts and numbers are escaped, for an element's content and for an attribute in quotation marks alike. */
export function html(parts: TemplateStringsArray, ...values: readonly (Html | string | number)[]): Html {
  const text = values.map((value, index) => `${textOf(value)}${parts[index + 1] ?? ""}`);
  return { html: `${parts[0] ?? ""}${text.join("")}` };
}

/** Of ours alone, such as a style: never of what others chose. */
export function trusted(text: string): Html {
  return { html: text };
}

export const NOTHING: Html = { html: "" };

function textOf(value: Html | string | number): string {
  if (typeof value === "object") return value.html;
  return String(value).replaceAll(/[&<>"']/g, (character) => ENTITIES[character] ?? "");
}
