/** Runs before each test file. Hooks registered first run last, so this check sees what the file left behind. */
import { afterAll } from "vitest";
import { failOnLeakedDatabases } from "./database.ts";

afterAll(failOnLeakedDatabases);
