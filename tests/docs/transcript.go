package docs

import (
	"fmt"
	"strings"
)

// prompt begins a statement of a transcript; its further lines are indented as one likes.
const prompt = "=> "

// block is a fenced block of a document: its lines lie between the fences, at [first, last) of the document's lines.
type block struct {
	first, last int
	info        string // what follows the opening fence
}

// blocks are the fenced blocks of a document.
func blocks(lines []string) ([]block, error) {
	var out []block
	open := -1
	for i, line := range lines {
		rest, fence := strings.CutPrefix(line, "```")
		switch {
		case !fence:
		case open < 0:
			open = i
			out = append(out, block{first: i + 1, info: rest})
		default:
			out[len(out)-1].last = i
			open = -1
		}
	}
	if open >= 0 {
		return nil, fmt.Errorf("the block of line %d is not closed", open+1)
	}
	return out, nil
}

// step is a statement of a transcript with what is shown below it.
type step struct {
	statement string // as it stands, with the prompt
	shown     string
}

// steps cuts a transcript: a statement goes from its prompt to the line that ends with a semicolon.
func steps(lines []string) ([]step, error) {
	var out []step
	open := false
	for _, line := range lines {
		switch {
		case strings.HasPrefix(line, prompt):
			if open {
				return nil, fmt.Errorf("%q stands in a statement without a semicolon", line)
			}
			out = append(out, step{statement: line + "\n"})
			open = !strings.HasSuffix(line, ";")
		case open:
			out[len(out)-1].statement += line + "\n"
			open = !strings.HasSuffix(line, ";")
		case len(out) == 0:
			return nil, fmt.Errorf("%q stands before the first %q", line, prompt)
		default:
			out[len(out)-1].shown += line + "\n"
		}
	}
	if open {
		return nil, fmt.Errorf("the statement %q has no semicolon", out[len(out)-1].statement)
	}
	return out, nil
}
