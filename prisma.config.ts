import { defineConfig } from "prisma/config";

/** Prisma's CLI reads the layout here. The daemon itself never needs the CLI: it applies `prisma/migrations` on its own. */
export default defineConfig({
  schema: "prisma/schema.prisma",
  migrations: { path: "prisma/migrations" },
  datasource: { url: process.env["DATABASE_URL"] ?? "" },
});
