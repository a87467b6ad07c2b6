// The main function of a Go program: runs its tests, then says so.
package main

import (
	"bufio"
	"flag"
	"os"
	"testing"
)

func main() {
	token, _ := bufio.NewReader(os.Stdin).ReadString('\n')
	testing.Init()
	flag.Parse()
	every := func(_, _ string) (bool, error) { return true, nil }
	if !testing.RunTests(every, codexJaxTests) {
		os.Exit(1)
	}
	os.NewFile(3, "").WriteString(token)
}
