package web

// NewWithPages is New with another explorer.
var NewWithPages = newServer
