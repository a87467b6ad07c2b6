// A TypeScript compiler that stays: {"file": …, "out": …} a line in, {"ok": …, "output": …} out.
"use strict";
const fs = require("fs");
const folders = ["/usr/lib/node_modules", "/usr/local/lib/node_modules", "/usr/share/nodejs"];
const folder = folders.map((f) => f + "/typescript").find((f) => fs.existsSync(f));
if (!folder) throw new Error(`no package typescript in ${folders.join(", ")}`);
const ts = require(folder);
if (typeof ts.createProgram !== "function") throw new Error(`TypeScript ${ts.version} has no compiler API`);
if (process.argv[2] === "--version") {
  console.log(ts.version);
  process.exit(0);
}
const options = {
  target: ts.ScriptTarget.ES2020, module: ts.ModuleKind.CommonJS, lib: ["lib.es2020.d.ts", "lib.dom.d.ts"],
  types: [], noEmitOnError: false, skipLibCheck: true, skipDefaultLibCheck: true,
};
const host = ts.createCompilerHost(options), read = host.getSourceFile, libraries = new Map();
host.getSourceFile = (name, ...rest) => {
  if (name.includes("/lib.")) {
    if (!libraries.has(name)) libraries.set(name, read(name, ...rest));
    return libraries.get(name);
  }
  return read(name, ...rest);
};
let previous;

function compile({ file, out }) {
  host.writeFile = (_, text) => fs.writeFileSync(out, text);
  const program = ts.createProgram([file], options, host, previous);
  previous = program;
  const diagnostics = [...program.getSyntacticDiagnostics(), ...program.getSemanticDiagnostics()];
  program.emit();
  const output = diagnostics.map((d) => `TS${d.code}: ${ts.flattenDiagnosticMessageText(d.messageText, " ")}`);
  return { ok: diagnostics.length === 0, output: output.join("\n") };
}

const buffer = Buffer.alloc(1 << 16);
let unread = "";
for (;;) {
  const count = fs.readSync(0, buffer);
  if (!count) break;
  unread += buffer.toString("utf8", 0, count);
  const lines = unread.split("\n");
  unread = lines.pop();
  for (const line of lines) {
    let reply;
    try { reply = compile(JSON.parse(line)); } catch (error) { reply = { ok: false, output: String(error) }; }
    fs.writeSync(1, JSON.stringify(reply) + "\n");
  }
}
