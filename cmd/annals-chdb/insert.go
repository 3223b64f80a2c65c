package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
)

// openInsert is an INSERT and the reader of its data.
type openInsert struct {
	insertion
	data io.Reader
}

// appendSize is how much data is handed to the engine at a time. The engine
// takes a piece only when there is room, so an insert of any length costs this
// and the blocks that the engine builds.
const appendSize = 256 << 10

// insert streams the data of one INSERT into the engine and answers when it is
// in the table. The table may keep the blocks written before an error: a
// ClickHouse server does the same, and the index is made of rows that may be
// written again.
func (h *handler) insert(w http.ResponseWriter, r *http.Request, req *request, ins *openInsert) error {
	s, err := h.inserts.acquire(r.Context(), req.database, req.settings)
	if err != nil {
		return err
	}
	defer h.inserts.release(s)
	var rows uint64
	err = h.killer.during(r.Context(), s, func() error {
		var err error
		rows, err = pour(s, ins, req)
		return err
	})
	if err != nil {
		s.dirty = true // as for any statement that failed
		return err
	}
	w.Header().Set("X-ClickHouse-Summary", fmt.Sprintf(`{"read_rows":"0","read_bytes":"0","written_rows":"%d","written_bytes":"0","total_rows_to_read":"0","result_rows":"0","result_bytes":"0"}`, rows))
	w.Header().Set("Content-Length", "0")
	w.WriteHeader(http.StatusOK)
	return nil
}

func pour(s *session, ins *openInsert, req *request) (rows uint64, err error) {
	stream, err := s.conn.insert(ins.head, ins.format, req.params)
	if err != nil {
		return 0, err
	}
	buffer := make([]byte, appendSize)
	for {
		n, err := ins.data.Read(buffer)
		if !stream.append(buffer[:n]) {
			// The engine has failed; done says why. The rest of the body is
			// left unread, net/http closes the connection.
			_, err := stream.done()
			if err == nil {
				err = engineErrorf("the engine stopped taking data without a reason")
			}
			return 0, err
		}
		if errors.Is(err, io.EOF) {
			return stream.done()
		}
		if err != nil {
			stream.cancel()
			return 0, bodyError(err)
		}
	}
}
