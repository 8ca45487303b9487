import { defineConfig, mergeConfig } from "vitest/config";
import config from "./vitest.config.ts";

/** Tests that run for minutes or hours: `npm run test:long`. */
const { include: _short, exclude: _long, ...test } = config.test ?? {};

export default mergeConfig(
  defineConfig({ ...config, test }),
  defineConfig({ test: { include: ["src/**/*.long.test.ts"], maxWorkers: 1 } }),
);
