/**
 * A URL as it may be shown: scheme, host and port. Credentials stand before the host, providers put their keys
 * into the path or the query, so nothing of those is kept.
 */
export function hideUrl(text: string): string {
  if (!URL.canParse(text)) return "(hidden: not a URL)";
  const url = new URL(text);
  const isCut = (url.pathname !== "" && url.pathname !== "/") || url.search !== "" || url.hash !== "";
  return `${url.protocol}//${url.host}${isCut ? "/…" : ""}`;
}

/** Free text with every URL in it hidden. */
export function hideUrls(text: string): string {
  return text.replace(/[a-z][a-z0-9+.-]*:\/\/[^\s"'<>]+/gi, hideUrl);
}
