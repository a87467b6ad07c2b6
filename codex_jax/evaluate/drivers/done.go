// The main function of a Go program: runs its tests, then one of ours, which says so.
package main

import (
	"bufio"
	"os"
	"testing"
)

func main() {
	token, _ := bufio.NewReader(os.Stdin).ReadString('\n')
	passed, tests := 0, []testing.InternalTest{}
	for _, given := range codexJaxTests {
		run := given.F
		counted := func(t *testing.T) {
			run(t)
			if !t.Failed() {
				passed++
			}
		}
		tests = append(tests, testing.InternalTest{Name: given.Name, F: counted})
	}
	end := func(t *testing.T) {
		if passed > 0 && passed == len(codexJaxTests) {
			os.NewFile(3, "").WriteString(token)
		}
	}
	tests = append(tests, testing.InternalTest{Name: "End", F: end})
	every := func(_, _ string) (bool, error) { return true, nil }
	testing.Main(every, tests, nil, nil)
}
