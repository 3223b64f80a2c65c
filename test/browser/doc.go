// Package browser drives the explorer of a running Annals in a real browser.
//
// It promises that every page shows what the API answers, that the keyboard
// reaches everything, that names, roles and contrast hold in light and dark,
// and that the browser reports no error while it walks from a search to a
// replay's receipt. It does not judge beauty: the pictures it leaves are for
// people.
//
// [Walk] needs Node, Chromium, and the explorer's node_modules; [Missing] says
// what of that is absent. Nothing is shared between walks: any number may run
// against different servers.
//
//	browser.go    Missing and Walk
//	run.mjs       the walk: one browser context in light, one in dark
//	steps.mjs     what a person does, step by step
//	audit.mjs     what a program can see wrong on a page
//	chromium.mjs  the browser
package browser
