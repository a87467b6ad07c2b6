// What HumanEval-X's tests use of testify's assert, and no more.
package assert

import (
	"bytes"
	"reflect"
)

type TestingT interface {
	Errorf(format string, args ...interface{})
}

type Assertions struct{ t TestingT }

func New(t TestingT) *Assertions { return &Assertions{t} }

func Equal(t TestingT, expected, actual interface{}, why ...interface{}) bool {
	if same(expected, actual) {
		return true
	}
	t.Errorf("Not equal: expected: %#v, actual: %#v %v", expected, actual, why)
	return false
}

func (a *Assertions) Equal(expected, actual interface{}, why ...interface{}) bool {
	return Equal(a.t, expected, actual, why...)
}

func (a *Assertions) True(value bool, why ...interface{}) bool {
	return Equal(a.t, true, value, why...)
}

func (a *Assertions) False(value bool, why ...interface{}) bool {
	return Equal(a.t, false, value, why...)
}

func same(expected, actual interface{}) bool {
	left, isBytes := expected.([]byte)
	if right, ok := actual.([]byte); isBytes && ok && left != nil && right != nil {
		return bytes.Equal(left, right)
	}
	return reflect.DeepEqual(expected, actual)
}
