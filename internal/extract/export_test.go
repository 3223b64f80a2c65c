package extract

// Names are all names that play a role, as their dialects spell them.
func Names() (names []string) {
	for _, d := range dialects {
		for _, w := range d.words {
			names = append(names, w.text)
		}
	}
	return names
}
