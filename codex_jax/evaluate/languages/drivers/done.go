// Runs a Go program's tests, then one of ours, which says so.
package done

import (
	"os"
	"testing"
)

func Main(given []testing.InternalTest) {
	buffer := make([]byte, 64)
	size, _ := os.Stdin.Read(buffer)
	passed, tests := 0, []testing.InternalTest{}
	for _, test := range given {
		run := test.F
		counted := func(t *testing.T) {
			run(t)
			if !t.Failed() {
				passed++
			}
		}
		tests = append(tests, testing.InternalTest{Name: test.Name, F: counted})
	}
	end := func(t *testing.T) {
		if passed > 0 && passed == len(given) {
			os.NewFile(3, "").Write(buffer[:size])
		}
	}
	tests = append(tests, testing.InternalTest{Name: "End", F: end})
	every := func(_, _ string) (bool, error) { return true, nil }
	testing.Main(every, tests, nil, nil)
}
