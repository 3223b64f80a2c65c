// Package readers reads an archive with programs that are not ours: Apache
// Arrow and DuckDB from PyPI, and the embedded ClickHouse. Every field of every
// record is compared with what was written, and the queries that
// docs/guides/sql.md shows are the ones that run here.
//
// It holds tests alone. requirements.txt pins the Python packages; they are
// installed once into a virtual environment in the user's cache folder, from
// whatever index pip's own settings name. Without Python 3.9, its venv module or
// an index that answers, the tests that need them are skipped, with the reason.
package readers
