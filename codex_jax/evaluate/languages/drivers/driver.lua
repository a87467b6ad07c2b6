-- A Lua program: asked for calls, or run with its own tests. Its answers go to standard output.
local mode, entry, file = arg[1], arg[2], arg[3]
local out, lines = io.stdout, io.stdin
local exit, open = os.exit, io.open
io.stdout = io.stderr
io.output(io.stderr)
print = function(...) io.stderr:write(table.concat({...}, "\t"), "\n") end
arg = {}

local function source(epilogue)
  local handle = open(file, "r")
  local text = handle:read("a")
  handle:close()
  return text .. epilogue
end

if mode == "tests" then
  local token = lines:read("L")
  local done = function(failures)
    if failures ~= 0 then exit(1) end
    out:write(token)
    out:flush()
    exit(0)
  end
  local text = source("")
  local body, count = text:gsub("os%.exit%(lu%.LuaUnit%.run%(%)%)%s*$", "return lu.LuaUnit.run()")
  if count == 0 then body = text .. "\ncodex_jax_end = true\n" end
  local program, why = load(body, "@program.lua")
  if not program then io.stderr:write(why, "\n") exit(1) end
  local failures = program()
  if count == 0 and not codex_jax_end or count == 1 and not failures then exit(0) end
  done(count == 1 and failures or 0)
end

local function text_of(value)
  local escaped = value:gsub('[%c"\\\127]', function(c) return string.format("\\u%04x", c:byte()) end)
  return '"' .. escaped .. '"'
end

local function encoded(value)
  local kind = math.type(value) or type(value)
  if kind == "nil" then return "null" end
  if kind == "boolean" then return tostring(value) end
  if kind == "string" then return text_of(value) end
  if kind == "integer" then
    if value > -10^15 and value < 10^15 then return tostring(value) end
    return string.format('{"int": "%s0x%x"}', value < 0 and "-" or "", value < 0 and -value or value)
  end
  if kind == "float" then
    if value ~= value or value == math.huge or value == -math.huge then return '{"opaque": "float"}' end
    return string.format("%.17g", value):find("[.e]") and string.format("%.17g", value) or string.format("%.1f", value)
  end
  if kind ~= "table" then return '{"opaque": "' .. kind .. '"}' end
  local parts, count = {}, 0
  for _ in pairs(value) do count = count + 1 end
  if count == #value then
    for i = 1, count do parts[i] = encoded(value[i]) end
    return "[" .. table.concat(parts, ",") .. "]"
  end
  for key, item in pairs(value) do parts[#parts + 1] = "[" .. encoded(key) .. "," .. encoded(item) .. "]" end
  return '{"dict": [' .. table.concat(parts, ",") .. "]}"
end

local function parsed(text)
  local at = 1
  local value
  local function skip() at = text:find("[^ \n\r\t,:]", at) or #text + 1 end
  local escapes = { n = "\n", t = "\t", r = "\r", b = "\b", f = "\f" }
  local function string_here()
    local found = {}
    at = at + 1
    while text:sub(at, at) ~= '"' do
      local c = text:sub(at, at)
      if c == "\\" then
        local e = text:sub(at + 1, at + 1)
        if e == "u" then
          local code = tonumber(text:sub(at + 2, at + 5), 16)
          at = at + 4
          if code >= 0xD800 and code < 0xDC00 then
            code = 0x10000 + (code - 0xD800) * 0x400 + tonumber(text:sub(at + 4, at + 7), 16) - 0xDC00
            at = at + 6
          end
          found[#found + 1] = utf8.char(code)
        else
          found[#found + 1] = escapes[e] or e
        end
        at = at + 2
      else
        found[#found + 1] = c
        at = at + 1
      end
    end
    at = at + 1
    return table.concat(found)
  end
  local function items(close)
    local found, count = {}, 0
    at = at + 1
    skip()
    while text:sub(at, at) ~= close do
      count = count + 1
      found[count] = value()
      skip()
    end
    at = at + 1
    return found, count
  end
  function value()
    skip()
    local c = text:sub(at, at)
    if c == '"' then return string_here() end
    if c == "[" then return (items("]")) end
    if c == "{" then
      local found = items("}")
      local tag, body = found[1], found[2]
      if tag == "int" then return math.tointeger(tonumber((body:gsub("-", "")))) * (body:sub(1, 1) == "-" and -1 or 1) end
      if tag ~= "dict" then return body end
      local map = {}
      for _, pair in ipairs(body) do map[pair[1]] = pair[2] end
      return map
    end
    local word = text:match("^[^%],} \n]+", at)
    at = at + #word
    if word == "true" then return true end
    if word == "false" then return false end
    if word == "null" then return nil end
    return math.tointeger(word) or tonumber(word)
  end
  return value()
end

local function say(text) out:write(text, "\n") out:flush() end
local function described(kind, why) return string.format('["%s", "error", %s, null]', kind, text_of(tostring(why):sub(1, 300))) end

local program, why = load(source("\nreturn " .. entry .. "\n"), "@program.lua")
if not program then say('{"unready": ' .. described("SyntaxError", why) .. "}") exit(0) end
local fine, called = pcall(program)
if not fine or type(called) ~= "function" then
  say('{"unready": ' .. described("Exception", fine and entry .. " is not a function" or called) .. "}")
  exit(0)
end
say('{"ready": true}')
for line in lines:lines() do
  local made, found = pcall(function() local call = parsed(line) return encoded(called(table.unpack(call[1]))) end)
  local kind = tostring(found):find("not enough memory") and "MemoryError" or "Exception"
  say(made and '{"value": ' .. found .. "}" or '{"raised": ' .. described(kind, found) .. "}")
end
exit(0)
