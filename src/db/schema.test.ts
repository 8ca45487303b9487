import { readFile } from "node:fs/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createTestDatabase, type TestDatabase } from "../testing/database.ts";

/** What `information_schema` calls each of Prisma's types; a domain shows as the type below it. */
const POSTGRES_TYPES: Readonly<Record<string, string>> = {
  String: "text",
  Boolean: "bool",
  Int: "int4",
  BigInt: "int8",
  Bytes: "bytea",
  DateTime: "timestamptz",
  "String[]": "_text",
  "Int[]": "_int4",
};

interface Column {
  readonly table: string;
  readonly column: string;
  readonly type: string;
  readonly nullable: boolean;
}

let test: TestDatabase;
let schema: string;

beforeAll(async () => {
  test = await createTestDatabase();
  schema = await readFile(new URL("../../prisma/schema.prisma", import.meta.url), "utf8");
});
afterAll(() => test.drop());

/** The columns that `schema.prisma` speaks of; its relation fields are none. */
function readModelColumns(): Column[] {
  const models = [...schema.matchAll(/^model (\w+) \{([^}]*)\}/gm)];
  const modelNames = new Set(models.map((model) => model[1]));
  return models.flatMap(([, , body = ""]) => {
    const table = /@@map\("(\w+)"\)/.exec(body)?.[1] ?? "";
    return [...body.matchAll(/^ {2}(\w+)\s+(\w+)(\?|\[\])?([^\n]*)$/gm)].flatMap(
      ([, field = "", type = "", mark = "", rest = ""]) => {
        if (modelNames.has(type)) return [];
        return [
          {
            table,
            column: /@map\("(\w+)"\)/.exec(rest)?.[1] ?? field,
            type: POSTGRES_TYPES[mark === "[]" ? `${type}[]` : type] ?? `unknown: ${type}`,
            nullable: mark === "?",
          },
        ];
      },
    );
  });
}

function readTableColumns(tables: readonly string[]): Promise<Column[]> {
  return test.database.query<Column>(
    `SELECT table_name AS table, column_name AS column, udt_name AS type, is_nullable = 'YES' AS nullable
     FROM information_schema.columns WHERE table_schema = 'public' AND table_name = ANY($1)`,
    [tables],
  );
}

const inOrder = (columns: Column[]) =>
  columns.map((c) => `${c.table}.${c.column} ${c.type}${c.nullable ? " NULL" : ""}`).sort();

describe("schema.prisma", () => {
  it("has the columns of its tables, with their types and whether they may be empty, as the migrations made them", async () => {
    const columns = readModelColumns();
    expect(columns.length).toBeGreaterThan(20);
    const tables = [...new Set(columns.map((column) => column.table))];
    expect(inOrder(columns)).toEqual(inOrder(await readTableColumns(tables)));
  });

  it("is what the generated client was made of", async () => {
    const client = await readFile(new URL("generated/internal/class.ts", import.meta.url), "utf8");
    const inlined = /"inlineSchema": ("(?:[^"\\]|\\.)*")/.exec(client)?.[1] ?? '""';
    const words = (text: string) => text.replaceAll(/\s+/g, " ").trim();
    expect(words(JSON.parse(inlined) as string)).toBe(words(schema));
  });
});
