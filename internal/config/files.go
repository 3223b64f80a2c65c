package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"reflect"
	"strings"
)

// maxSecretBytes bounds a file that holds a secret.
const maxSecretBytes = 64 << 10

// readSecrets fills every secret whose file is named. A secret that is also in
// the environment is an error: it would not be plain which one holds.
func readSecrets(cfg *Config, root *node, origins map[string]string, found *problems) []Warning {
	var warnings []Warning
	var read func(section *node, in reflect.Value, at string)
	read = func(section *node, in reflect.Value, at string) {
		for _, option := range section.options() {
			if option.row != nil {
				for i := range option.in(in).Len() {
					read(option.row, option.in(in).Index(i), fmt.Sprintf("%s%s[%d].", at, option.path, i))
				}
			}
			if !option.secret() {
				continue
			}
			path, file := optionAt(section, option.file()).in(in).String(), at+option.file()
			if path == "" {
				continue
			}
			if option.in(in).Interface().(Secret).IsSet() {
				found.add(origins[file], file, "is set, and so is %s; keep one of them", option.env())
				continue
			}
			text, open, err := readSecret(path)
			if err != nil {
				found.add(origins[file], file, "%v", err)
				continue
			}
			if open {
				warnings = append(warnings, Warning{
					Path:    file,
					Message: "every user of this machine can read " + path + "; take the permission away (chmod o-rwx)",
				})
			}
			option.in(in).Set(reflect.ValueOf(NewSecret(text)))
		}
	}
	read(root, reflect.ValueOf(cfg).Elem(), "")
	return warnings
}

// readSecret reads one secret, without the line break editors put behind it,
// and says whether everybody may read the file.
func readSecret(path string) (text string, open bool, err error) {
	f, err := os.Open(path)
	if err != nil {
		return "", false, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return "", false, err
	}
	if info.IsDir() {
		return "", false, &fs.PathError{Op: "read", Path: path, Err: errors.New("is a folder, not a file")}
	}
	content, err := io.ReadAll(io.LimitReader(f, maxSecretBytes+1))
	if err != nil {
		return "", false, err
	}
	if len(content) > maxSecretBytes {
		return "", false, &fs.PathError{Op: "read", Path: path, Err: errors.New("is larger than 64KiB; is it a secret?")}
	}
	text = strings.TrimSuffix(strings.TrimSuffix(string(content), "\n"), "\r")
	if text == "" {
		return "", false, &fs.PathError{Op: "read", Path: path, Err: errors.New("is empty")}
	}
	return text, info.Mode().Perm()&0o007 != 0, nil
}
