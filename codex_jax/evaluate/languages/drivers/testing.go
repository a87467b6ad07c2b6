// What a program's tests use of Go's testing, and no more: it takes half as long to link.
package testing

import (
	"fmt"
	"os"
	"runtime"
)

type T struct {
	name            string
	failed, skipped bool
}

type InternalTest struct {
	Name string
	F    func(*T)
}

func (t *T) Name() string         { return t.name }
func (t *T) Failed() bool         { return t.failed }
func (t *T) Skipped() bool        { return t.skipped }
func (t *T) Fail()                { t.failed = true }
func (t *T) FailNow()             { t.failed = true; runtime.Goexit() }
func (t *T) SkipNow()             { t.skipped = true; runtime.Goexit() }
func (t *T) Helper()              {}
func (t *T) Parallel()            {}
func (t *T) Log(a ...interface{}) { t.say("", fmt.Sprintln(a...)) }
func (t *T) Logf(f string, a ...interface{}) {
	t.say("", fmt.Sprintf(f, a...)+"\n")
}
func (t *T) Error(a ...interface{}) {
	t.failed = true
	t.say("--- FAIL: ", fmt.Sprintln(a...))
}
func (t *T) Errorf(f string, a ...interface{}) {
	t.failed = true
	t.say("--- FAIL: ", fmt.Sprintf(f, a...)+"\n")
}
func (t *T) Fatal(a ...interface{}) {
	t.Error(a...)
	runtime.Goexit()
}
func (t *T) Fatalf(f string, a ...interface{}) {
	t.Errorf(f, a...)
	runtime.Goexit()
}
func (t *T) Skip(a ...interface{}) { t.SkipNow() }

func (t *T) say(mark, text string) { os.Stderr.WriteString(mark + t.name + ": " + text) }

// Run waits for the test, which ends by returning or by Goexit; a panic ends them all.
func (t *T) Run(name string, f func(*T)) bool {
	inner := &T{name: name}
	done := make(chan bool)
	go func() {
		defer close(done)
		f(inner)
	}()
	<-done
	t.failed = t.failed || inner.failed
	return !inner.failed
}

var token = read() // before the program's first line

func read() []byte {
	buffer := make([]byte, 64)
	size, _ := os.Stdin.Read(buffer)
	return buffer[:size]
}

// End says that tests with a main function of their own have come to their end.
func End() { os.NewFile(3, "").Write(token) }

// Main runs the tests; where all have come to their end and passed, it says so.
func Main(given []InternalTest) {
	all, passed := &T{}, 0
	for _, test := range given {
		run := test.F
		all.Run(test.Name, func(t *T) {
			run(t)
			if !t.failed {
				passed++
			}
		})
	}
	if all.failed {
		os.Exit(1)
	}
	if passed > 0 && passed == len(given) {
		End()
	}
}
