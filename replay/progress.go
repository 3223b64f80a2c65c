package replay

// progress is how far each lane is, as delivery goes on.
type progress struct {
	job      string
	next     []int64 // by lane: the planned records below stand in the target
	ends     []int64 // by lane: no planned record is at it or above
	produced int64
}

// progress begins where a job stands.
func (c *cursor) progress(lanes []lane) *progress {
	p := &progress{job: c.Job, next: make([]int64, len(lanes)), ends: make([]int64, len(lanes)), produced: c.Produced}
	for i := range lanes {
		segments := lanes[i].stream.Segments
		p.ends[i] = segments[len(segments)-1].Next
		switch {
		case i < c.Lane:
			p.next[i] = p.ends[i]
		case i == c.Lane:
			p.next[i] = c.Next
		default:
			p.next[i] = int64(c.Ahead[i])
		}
	}
	return p
}

// cursor is what the position record says.
func (p *progress) cursor() *cursor {
	c := &cursor{Job: p.job, Produced: p.produced}
	for c.Lane < len(p.next) && p.next[c.Lane] >= p.ends[c.Lane] {
		c.Lane++
	}
	for i := c.Lane; i < len(p.next); i++ {
		switch {
		case i == c.Lane:
			c.Next = p.next[i]
		case p.next[i] > 0:
			if c.Ahead == nil {
				c.Ahead = map[int]offset{}
			}
			c.Ahead[i] = offset(p.next[i])
		}
	}
	return c
}

// passed notes that a lane's records are all read, and so those of the lanes
// before it, when lanes are taken one after another.
func (p *progress) passed(lane int) { p.next[lane] = p.ends[lane] }
