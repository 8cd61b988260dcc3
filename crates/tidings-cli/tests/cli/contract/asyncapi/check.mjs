// Prints what the parser finds in the AsyncAPI document of the first argument: errors and warnings.
import { readFileSync } from 'node:fs';
import { DiagnosticSeverity, Parser } from '@asyncapi/parser';

const text = readFileSync(process.argv[2], 'utf8');
const { document, diagnostics } = await new Parser().parse(text);
const found = diagnostics.filter((it) => it.severity <= DiagnosticSeverity.Warning);
for (const { code, message, path } of found) {
  console.log(`${code} at ${path.join('/')}: ${message}`);
}
if (!document || found.length > 0) process.exit(1);
for (const message of document.allMessages()) console.log(message.name());
