// A JavaScript program in Node: asked for calls, or run with its own tests.
"use strict";
const fs = require("fs"), path = require("path"), vm = require("vm");
const [mode, entry, file] = process.argv.slice(2);
const write = fs.writeSync, exit = process.exit;
const read = fs.readSync, buffer = Buffer.alloc(1 << 16);
let unread = Buffer.alloc(0);

if (mode === "tests") runTests(line());
else answerCalls();

function line() { // the next one, or undefined at the end
  for (;;) {
    const end = unread.indexOf(10);
    if (end >= 0) {
      const found = unread.toString("utf8", 0, end);
      unread = unread.subarray(end + 1);
      return found;
    }
    const count = read(0, buffer);
    if (!count) return undefined;
    unread = Buffer.concat([unread, buffer.subarray(0, count)]);
  }
}

function loaded(epilogue) {
  const source = fs.readFileSync(file, "utf8");
  const parameters = ["exports", "require", "module", "__filename", "__dirname"];
  const program = vm.compileFunction(source + epilogue, parameters, { filename: "program.js" });
  const module = { exports: {} };
  return program.call(module.exports, module.exports, require, module, file, path.dirname(file));
}

function runTests(token) {
  console.assert = (holds, ...why) => { // HumanEval-X's tests would only print
    if (!holds) throw new (require("assert").AssertionError)({ message: why.join(" ") });
  };
  process.once("beforeExit", () => { if (globalThis.codexJaxEnd) write(3, token + "\n"); exit(0); });
  loaded("\n");
}

function answerCalls() {
  const say = (text) => write(3, text + "\n"), parse = JSON.parse, texts = JSON.stringify;
  const described = (error) => {
    let name = "Error", message = "";
    try { name = String(error.name || error.constructor.name); message = String(error.message); }
    catch (_) { message = "(its message can't be read)"; }
    return "[" + [texts(python(name)), texts(name.slice(0, 100)), texts(message.slice(0, 300)), "null"] + "]";
  };
  let called;
  try {
    called = loaded(`\n;return typeof ${entry} === "undefined" ? undefined : ${entry};`);
    if (typeof called !== "function") throw new ReferenceError(`${entry} is not defined`);
  } catch (error) {
    say(`{"unready": ${described(error)}}`);
    return exit(0);
  }
  say('{"ready": true}');
  for (let asked; (asked = line()) !== undefined; ) {
    let answer;
    try { answer = `{"value": ${encoded(called(...decoded(parse(asked)[0])), texts)}}`; }
    catch (error) { answer = `{"raised": ${described(error)}}`; }
    say(answer);
  }
  exit(0);
}

function python(name) {
  return { RangeError: "RecursionError", SyntaxError: "SyntaxError" }[name] || "Exception";
}

function decoded(form) {
  if (Array.isArray(form)) return form.map(decoded);
  if (form === null || typeof form !== "object") return form;
  const [[tag, body]] = Object.entries(form);
  if (tag === "int") return Number(BigInt(body.replace("-", "")) * (body[0] === "-" ? -1n : 1n));
  if (tag === "dict") return Object.fromEntries(body.map(([k, v]) => [decoded(k), decoded(v)]));
  if (tag === "set" || tag === "frozenset") return new Set(body.map(decoded));
  return Array.isArray(body) ? body.map(decoded) : body;
}

function encoded(value, texts) {
  const all = (items) => "[" + Array.from(items, (item) => encoded(item, texts)).join(",") + "]";
  if (value === null || value === undefined) return "null";
  switch (typeof value) {
    case "boolean": return value ? "true" : "false";
    case "string": return texts(value);
    case "bigint": return `{"int": "${value < 0n ? "-" : ""}0x${(value < 0n ? -value : value).toString(16)}"}`;
    case "number":
      if (Number.isInteger(value) && Math.abs(value) >= 1e15) return encoded(BigInt(value), texts);
      return Object.is(value, -0) ? "-0.0" : String(value);
  }
  if (Array.isArray(value)) return all(value);
  if (value instanceof Set) return `{"set": ${all(value)}}`;
  if (value instanceof Map) return `{"dict": ${all(value)}}`;
  if (Object.getPrototypeOf(value) === Object.prototype) return `{"dict": ${all(Object.entries(value))}}`;
  return '{"opaque": "object"}';
}
