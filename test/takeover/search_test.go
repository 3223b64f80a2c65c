package takeover

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"
)

// most bounds a search; one that hits it is no proof.
const most = 3_000_000

type origin struct {
	parent int
	name   transition
	who    int
}

type result struct {
	states    int
	violation string
	trace     []string
	used      map[transition]bool
}

// search visits every state that can be reached, breadth first, or stops at the
// first violation.
func search(m *model, t *testing.T) result {
	t.Helper()
	first := initial()
	states, known, origins := []state{first}, map[state]int{first: 0}, []origin{{parent: -1}}
	back := [][]int32{nil} // by state: from which others a step without a fault leads here
	r := result{used: map[transition]bool{}}
	trace := func(at int) (lines []string) {
		for ; origins[at].parent >= 0; at = origins[at].parent {
			o, s := origins[at], &states[at]
			line := fmt.Sprintf("%s %s  job %+v, target %v, position %d, owner %d", o.name, []string{"", "A", "B"}[o.who+1], s.job, s.log[:s.length], s.position, s.owner)
			lines = append([]string{line}, lines...)
		}
		return lines
	}
	for at := 0; at < len(states); at++ {
		s := states[at]
		if r.violation = check(&s); r.violation != "" {
			r.states, r.trace = len(states), trace(at)
			return r
		}
		m.next(&s)
		for _, mv := range m.moves {
			to, old := known[mv.to]
			if !old {
				to = len(states)
				known[mv.to] = to
				states, origins, back = append(states, mv.to), append(origins, origin{at, mv.name, mv.who}), append(back, nil)
			}
			if !mv.fault {
				back[to] = append(back[to], int32(at))
			}
			r.used[mv.name] = true
		}
		if len(states) > most {
			t.Fatalf("more than %d states", most)
		}
	}
	r.states = len(states)
	if at := stuck(states, back); at >= 0 {
		r.violation, r.trace = "stuck: from here the job never ends, even without further faults", trace(at)
	}
	return r
}

// stuck finds a state from which no steps without faults lead to an end; -1 if there
// is none. It walks backwards from the ends.
func stuck(states []state, back [][]int32) int {
	reached := make([]bool, len(states))
	var queue []int32
	for at := range states {
		if isOver(&states[at]) {
			reached[at] = true
			queue = append(queue, int32(at))
		}
	}
	for len(queue) > 0 {
		at := queue[len(queue)-1]
		queue = queue[:len(queue)-1]
		for _, from := range back[at] {
			if !reached[from] {
				reached[from] = true
				queue = append(queue, from)
			}
		}
	}
	for at := range reached {
		if !reached[at] {
			return at
		}
	}
	return -1
}

func TestProtocolHolds(t *testing.T) {
	r := search(&model{}, t)
	if r.violation != "" {
		t.Fatalf("%s\n    %s", r.violation, strings.Join(r.trace, "\n    "))
	}
	for name := range documented(t) {
		if !r.used[transition(name)] {
			t.Errorf("no state has the transition %s", name)
		}
	}
	t.Logf("%d states", r.states)
}

// documented reads doc.go's list: what does each transition.
func documented(t *testing.T) map[string]string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "doc.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	_, list, found := strings.Cut(file.Doc.Text(), "# Transitions")
	if !found {
		t.Fatal("doc.go has no list of transitions")
	}
	does := map[string]string{}
	for line := range strings.Lines(list) {
		if name, what, ok := strings.Cut(strings.TrimPrefix(line, "\t"), "  "); ok && strings.HasPrefix(line, "\t") {
			does[name] = strings.TrimSpace(what)
		}
	}
	return does
}

// TestTransitionsAreTheCode holds doc.go's list against the model, and the functions
// that it names against the source.
func TestTransitionsAreTheCode(t *testing.T) {
	does := documented(t)
	for name := range search(&model{}, t).used {
		if does[string(name)] == "" {
			t.Errorf("doc.go does not say what does the transition %s", name)
		}
	}
	for name, what := range does {
		if strings.HasPrefix(what, "outside: ") {
			continue
		}
		for one := range strings.SplitSeq(what, ", ") {
			file, function, _ := strings.Cut(one, " ")
			if !declares(t, filepath.Join("..", "..", filepath.FromSlash(file)), function) {
				t.Errorf("%s: doc.go names %s in %s, which is not there: name what does it now", name, function, file)
			}
		}
	}
}

// declares tells whether a file has a function; methods are Type.method.
func declares(t *testing.T, file, name string) bool {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	for _, declaration := range parsed.Decls {
		f, ok := declaration.(*ast.FuncDecl)
		if !ok {
			continue
		}
		full := f.Name.Name
		if f.Recv != nil {
			of := f.Recv.List[0].Type
			if pointer, ok := of.(*ast.StarExpr); ok {
				of = pointer.X
			}
			full = of.(*ast.Ident).Name + "." + full
		}
		if full == name {
			return true
		}
	}
	return false
}
