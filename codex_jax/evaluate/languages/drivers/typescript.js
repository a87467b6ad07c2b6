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
// As MultiPL-E compiles, and as MBXP does, which runs what the compiler writes whatever it reports.
const shared = { types: [], noEmitOnError: false, skipLibCheck: true, skipDefaultLibCheck: true };
const modern = { ...shared, target: ts.ScriptTarget.ESNext };
const old = { ...shared, target: ts.ScriptTarget.ES5, lib: ["lib.es2016.d.ts"] };
const compilers = new Map();

function compiler(options) { // keeps the libraries that it has read
  if (!compilers.has(options)) {
    const host = ts.createCompilerHost(options), read = host.getSourceFile, libraries = new Map();
    host.getSourceFile = (name, ...rest) => {
      if (!name.includes("/lib.")) return read(name, ...rest);
      if (!libraries.has(name)) libraries.set(name, read(name, ...rest));
      return libraries.get(name);
    };
    compilers.set(options, { host, previous: undefined });
  }
  return compilers.get(options);
}

function compile({ file, out }) {
  const isLenient = fs.readFileSync("/tmp/rules.txt", "utf8") === "MBXP";
  const options = isLenient ? old : modern, { host, previous } = compiler(options);
  host.writeFile = (_, text) => fs.writeFileSync(out, text);
  const program = ts.createProgram([file], options, host, previous);
  compilers.get(options).previous = program;
  const diagnostics = [...program.getSyntacticDiagnostics(), ...program.getSemanticDiagnostics()];
  program.emit();
  return { ok: isLenient || diagnostics.length === 0, output: diagnostics.map(describe).join("\n") };
}

function describe(diagnostic) { // as tsc writes it
  const { file, start, code, messageText } = diagnostic, text = ts.flattenDiagnosticMessageText(messageText, " ");
  const at = file ? file.getLineAndCharacterOfPosition(start) : { line: -1, character: -1 };
  return `program.ts(${at.line + 1},${at.character + 1}): error TS${code}: ${text}`;
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
