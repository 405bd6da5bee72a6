// Adds up the reports of the test projects to one closing line.
import { readFileSync } from "node:fs";
import process from "node:process";
import * as v from "valibot";

const reportSchema = v.object({
  numPassedTests: v.number(),
  numFailedTests: v.number(),
  numPendingTests: v.number(),
});
type Report = v.InferOutput<typeof reportSchema>;

const reports = process.argv
  .slice(2)
  .map((file) => v.parse(reportSchema, JSON.parse(readFileSync(file, "utf8"))));
const sum = (field: keyof Report): number => reports.reduce((total, report) => total + report[field], 0);
const [passed, failed, skipped] = [sum("numPassedTests"), sum("numFailedTests"), sum("numPendingTests")];

console.log(`${passed} passed, ${failed} failed, ${skipped} skipped`);
if (failed > 0 || passed === 0) process.exitCode = 1;
