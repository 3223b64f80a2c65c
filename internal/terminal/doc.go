// Package terminal writes text that others have made to a terminal, so that it
// is shown and not obeyed. Record keys, values and header names can hold escape
// sequences that clear the screen, set its title or move the cursor, carriage
// returns that overwrite a line, and bidirectional controls that show text in
// another order than it has (CVE-2021-42574).
//
// What a program reads is never changed: JSON, exact bytes and exports do not
// go through here.
package terminal
