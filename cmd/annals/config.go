package main

// configCommands are annals config ….
type configCommands struct {
	Check     configCheckCommand     `cmd:"" help:"Read a configuration as a role would, and say what is wrong with it."`
	Reference configReferenceCommand `cmd:"" help:"Print every setting with its default, as Markdown."`
}
