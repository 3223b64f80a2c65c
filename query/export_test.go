package query

import "time"

// LearnPatiently has requests learn how records name parents, and what steps do, for
// as long as it takes.
func LearnPatiently() {
	patternPatience, learnPatience, stagePatience = time.Minute, time.Minute, time.Minute
}

// LearnInNoTime gives searches no time to learn what steps do, until the function that
// it gives is called.
func LearnInNoTime() (again func()) {
	was := stagePatience
	stagePatience = 0
	return func() { stagePatience = was }
}

// LearnPatternsInNoTime gives traces no time to learn how records name parents, until
// the function that it gives is called.
func LearnPatternsInNoTime() (again func()) {
	was := patternPatience
	patternPatience = 0
	return func() { patternPatience = was }
}
