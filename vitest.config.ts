import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    // Those run for minutes or hours, by `npm run test:long`.
    exclude: ["**/node_modules/**", "**/*.long.test.ts"],
    include: ["src/**/*.test.ts", "scripts/**/*.test.ts", "examples/**/*.test.ts"],
    globalSetup: ["src/testing/global-setup.ts"],
    setupFiles: ["src/testing/setup-file.ts"],
    pool: "forks",
    // Chains, databases and daemons run beside the tests; more workers only make them wait for each other.
    maxWorkers: 2,
    // A test that passes at the second try hides a race, and a race here costs somebody money.
    retry: 0,
    // Only what hangs comes near it: tests say themselves how long they wait, and for what.
    testTimeout: 90_000,
    hookTimeout: 90_000,
  },
});
