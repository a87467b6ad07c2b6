# A Ruby program: asked for calls, or run with its own tests.
mode, entry, file = ARGV
ARGV.clear
out = IO.for_fd(3, "w")
out.sync = true

if mode == "tests"
  token = $stdin.gets
  $LOAD_PATH.concat(File.readlines("/kit/ruby/paths", chomp: true)) # gems themselves are slow
  load file
  exit!(0) unless $codex_jax_end
  if defined?(Test::Unit::AutoRunner)
    Test::Unit::AutoRunner.need_auto_run = false
    exit!(1) unless Test::Unit::AutoRunner.run
  end
  out.write(token)
  exit!(0)
end

require "json"
require "set"

module Plain
  def self.decoded(form)
    return form.map { |item| decoded(item) } if form.is_a?(Array)
    return form unless form.is_a?(Hash)
    tag, body = form.first
    case tag
    when "int" then Integer(body, 16)
    when "dict" then body.to_h { |key, value| [decoded(key), decoded(value)] }
    when "set", "frozenset" then body.map { |item| decoded(item) }.to_set
    else body.is_a?(Array) ? decoded(body) : body
    end
  end

  def self.encoded(value)
    case value
    when nil, true, false, String then value
    when Symbol then value.to_s
    when Integer then value.abs < 10**15 ? value : { int: (value < 0 ? "-" : "") + "0x" + value.abs.to_s(16) }
    when Float then value.finite? ? value : { opaque: "float" }
    when Array then value.map { |item| encoded(item) }
    when Hash then { dict: value.map { |key, item| [encoded(key), encoded(item)] } }
    when Set then { set: value.map { |item| encoded(item) } }
    else { opaque: value.class.to_s }
    end
  end

  def self.described(error)
    kind = { SyntaxError => "SyntaxError", NoMemoryError => "MemoryError", SystemStackError => "RecursionError",
             SystemExit => "SystemExit" }.fetch(error.class, "Exception")
    [kind, error.class.to_s, error.message.to_s[0, 300], nil]
  end
end

say = ->(fields) { out.write(JSON.generate(fields, max_nesting: 0) + "\n") }
begin
  load file
  raise NameError, "undefined method #{entry}" unless Object.private_method_defined?(entry) || respond_to?(entry, true)
rescue Exception => error
  say.({ unready: Plain.described(error) })
  exit!(0)
end
say.({ ready: true })
while (line = $stdin.gets)
  begin
    say.({ value: Plain.encoded(send(entry, *Plain.decoded(JSON.parse(line, max_nesting: false)[0]))) })
  rescue Exception => error
    say.({ raised: Plain.described(error) })
  end
end
exit!(0)
