package main

// pageSize is the most that the API gives of a list at once.
const pageSize = 1000

// turnPages asks for pages of a list until there are no more, or limit entries
// were given; 0 is all. ask is told how many it may get and where to go on, and
// says how many it got and where the next page begins.
func turnPages(limit int, ask func(size int, cursor *string) (got int, next *string, err error)) error {
	var cursor *string
	for given := 0; ; {
		size := pageSize
		if limit > 0 {
			size = min(size, limit-given)
		}
		got, next, err := ask(size, cursor)
		given += got
		if err != nil || next == nil || limit > 0 && given >= limit {
			return err
		}
		cursor = next
	}
}
