"""Programs in other languages that want a pass they haven't earned, or to do harm.

Each is a completion of MultiPL-E's `add(x, y)` problem, wrong unless it says otherwise; none may
pass, nothing may stay, and honest neighbours must. What no in-process test can notice, a program
that forges its own test's end, isn't here: rows of such verdicts are marked.
"""

EARLY = ("exited_early",)
ENDS = ("exception", "memory_limit", "time_limit", "process_limit", "exited_early", "output_limit")
DENIED = ("exception", "wrong_answer", "syntax_or_compile_error", "exited_early")

ANY = (*ENDS, *DENIED)
DAEMON = "setsid sleep 31556952 > /dev/null 2>&1 &"  # seconds that nothing else here sleeps
WRITES = "for d in / /usr /etc /dev /dev/shm /var/tmp /kit /root /tmp; do "
WRITES += "echo x > $d/codex-jax-was-here; done 2> /dev/null"
_SHELL = {
    "javascript": "require('child_process').execSync('{0}'); return 0; }}",
    "typescript": "eval(\"require('child_process').execSync('{0}')\"); return 0; }}",
    "java": 'try {{ Runtime.getRuntime().exec(new String[] {{"sh", "-c", "{0}"}}).waitFor(); }} '
    "catch (Exception e) {{ }} return 0;",
    "ruby": "system('{0}')\n0\nend",
    "php": "shell_exec('{0}'); return 0; }}",
    "perl": "system('{0}'); return 0; }}",
    "bash": "{0}\necho 0\n",
    "cpp": 'system("{0}"); return 0;',
    "c": 'system("{0}"); return 0;',
    "rust": 'std::process::Command::new("sh").arg("-c").arg("{0}").status().ok(); 0',
    "lua": "os.execute('{0}') return 0 end",
    "r": "system('{0}'); 0 }}",
    "csharp": 'System.Diagnostics.Process.Start("sh", "-c \'{0}\'").WaitForExit(); return 0;',
    "scala": 'Runtime.getRuntime().exec(Array("sh", "-c", "{0}")).waitFor(); 0',
}

ATTACKS: dict[str, list[tuple[str, str, tuple[str, ...]]]] = {
    "javascript": [
        ("return before the tests", "}\nreturn;\n", EARLY),
        ("exit", "process.exit(0); }", EARLY),
        ("reallyExit", "process.reallyExit(0); }", EARLY),
        ("abort", "process.abort(); }", ENDS),
        ("kill", "process.kill(process.pid, 'SIGKILL'); }", DENIED),
        ("recursion", "return add(x, y) + 1; }", ENDS),
        ("memory", "const a = []; for (;;) a.push(new Array(1e6).fill(x)); }", ENDS),
        ("loop", "for (;;); }", ("time_limit",)),
        ("flood", "for (;;) console.log('x'.repeat(1e6)); }", ENDS),
        ("listener", "process.on('exit', () => { process.exitCode = 0; }); throw 1; }", DENIED),
        ("network", "require('net').connect(53, '1.1.1.1'); return 0; }", DENIED),
        ("files", "require('fs').writeFileSync('/usr/x', ''); return x + y; }", DENIED),
    ],
    "typescript": [("exit", "(globalThis as any).process.exit(0); return 0; }", EARLY)],
    "go": [
        ("panic", 'panic("PASS"); }', ("exception",)),
        ("recursion", "return add(x, y) + 1; }", ENDS),
        ("loop", "for { }; }", ("time_limit",)),
        ("memory", "a := [][]byte{}; for { a = append(a, make([]byte, 1<<24, 1<<25)) }; }", ENDS),
        ("flood", "for { fmt.Println(x, y) }; }", ENDS),
    ],
    "java": [
        ("exit", "System.exit(0); return 0;", EARLY),
        ("halt", "Runtime.getRuntime().halt(0); return 0;", EARLY),
        ("recursion", "return add(x, y) + 1;", ENDS),
        ("memory", "var a = new ArrayList<byte[]>(); while (true) a.add(new byte[1 << 24]);", ENDS),
        ("loop", "while (true);", ("time_limit",)),
        (
            "processes",
            'try { while (true) new ProcessBuilder("sleep", "9").start(); } '
            "catch (IOException e) { throw new RuntimeException(e); }",
            ENDS,
        ),
    ],
    "ruby": [
        ("return before the tests", "end\nreturn\n", EARLY),
        ("the end before the tests", "end\n__END__\n", EARLY),
        ("exit", "exit!(0)\nend", EARLY),
        ("exit with hooks", "exit(0)\nend", (*DENIED, "time_limit")),
        ("recursion", "add(x, y) + 1\nend", (*DENIED, "time_limit")),
        ("forks", "loop { fork { sleep } }\nend", (*ENDS, "wrong_answer")),
        ("memory", "a = []; loop { a << 'x' * (1 << 24) }\nend", ENDS),
        ("loop", "loop {}\nend", ("time_limit",)),
    ],
    "php": [
        ("return before the tests", "} return;", EARLY),
        ("exit", "exit(0); }", EARLY),
        ("die", "die('PASS'); }", EARLY),
        ("recursion", "return add($x, $y) + 1; }", ENDS),
        ("memory", "$a = []; while (true) $a[] = str_repeat('x', 1 << 24); }", ENDS),
        ("loop", "while (true); }", ("time_limit",)),
        ("shutdown", "register_shutdown_function(fn () => exit(0)); exit(1); }", EARLY),
    ],
    "perl": [
        ("return before the tests", "}\nreturn 1;\n", EARLY),
        ("the end before the tests", "}\n__END__\n", EARLY),
        ("exit", "exit 0; }", EARLY),
        ("_exit", "require POSIX; POSIX::_exit(0); }", EARLY),
        ("exec", "exec '/bin/true'; }", EARLY),
        ("recursion", "no warnings; return add($x, $y) + 1; }", ENDS),
        ("forks", "while (1) { fork } }", (*ENDS, "wrong_answer")),
        ("loop", "1 while 1; }", ("time_limit",)),
    ],
    "bash": [
        ("not a program", "(((", DENIED),
        ("return before the tests", "echo; }\nreturn 0\n{ :", EARLY),
        ("exit", "kill $$", DENIED),
        ("exit 0 outside", "echo; }\nexit 0\n{ :", EARLY),
        ("fork bomb", "echo; }\nf() { f | f & }; f; sleep 9; {\n:", (*ENDS, "wrong_answer")),
        ("network", "echo < /dev/tcp/1.1.1.1/53", DENIED),
        ("loop", "while :; do :; done", ("time_limit",)),
        ("true", "echo; }\nexec true\n{ :", EARLY),
    ],
    "cpp": [
        ("exit", "std::exit(0);", EARLY),
        ("_Exit", "std::_Exit(0);", EARLY),
        ("quick_exit", "std::quick_exit(0);", EARLY),
        ("abort", "std::abort();", ("exception",)),
        ("recursion", "volatile long z = add(x, y); return z + 1;", ENDS),
        ("memory", "for (;;) memset(new char[1 << 24], 1, 1 << 24);", ENDS),
        ("loop", "for (volatile long i = 0;; i++);", ("time_limit",)),
        (
            "exhausting templates",
            "}\ntemplate <int n> struct A { A<n + 1> a; };\nA<0> a; long b() {",
            DENIED,
        ),
        ("reading at compile time", '}\n#include "/etc/shadow"\nlong b() {', DENIED),
        (
            "own main",
            "return 0; }\nint main() { return 0; }\n#define main other\nvoid b() {",
            EARLY,
        ),
        ("before main", "return 0; }\nint z = (std::exit(0), 0);\nvoid b() {", EARLY),
    ],
    "c": [
        ("exit", "exit(0);", EARLY),
        ("recursion", "volatile long z = add(x, y); return z + 1;", ENDS),
        ("memory", "for (;;) memset(malloc(1 << 24), 1, 1 << 24);", ENDS),
        ("loop", "for (volatile long i = 0;; i++);", ("time_limit",)),
        ("before main", "}\n__attribute__((constructor)) void b() { exit(0);", EARLY),
    ],
    "rust": [
        ("exit", "std::process::exit(0)", EARLY),
        ("abort", "std::process::abort()", ("exception",)),
        ("recursion", "add(x, y) + x", ENDS),
        ("loop", "loop { std::hint::spin_loop() }", ("time_limit",)),
        ("files at compile time", 'include_str!("/etc/shadow").len() as isize', DENIED),
    ],
    "lua": [
        ("return before the tests", "end\ndo return end\n", EARLY),
        ("exit", "os.exit(0) end", DENIED),
        ("recursion", "return 1 + add(x, y) end", DENIED),
        ("loop", "while true do end end", ("time_limit",)),
        ("memory", "local a = {} for i = 1, 1e9 do a[i] = ('x'):rep(1e6) .. i end end", ENDS),
        ("popen", "io.popen('sleep 60') return 0 end", DENIED),
    ],
    "r": [("quit", "quit(status = 0) }", EARLY)],
    "csharp": [("exit", "System.Environment.Exit(0); return 0;", EARLY)],
}

for _language, _call in _SHELL.items():
    ATTACKS.setdefault(_language, []).extend(
        [
            ("a daemon", _call.format(DAEMON), ANY),
            ("writing everywhere", _call.format(WRITES), ANY),
        ]
    )
