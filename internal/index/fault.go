package index

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/fx-risk-ai/annals/schema"
)

// ClickHouse's exception codes that mean something to a caller
// (src/Common/ErrorCodes.cpp).
const (
	codeUnknownTable      = 60
	codeUnknownDatabase   = 81
	codeTooManyRows       = 158
	codeTimeout           = 159
	codeTooManyQueries    = 202
	codeMemoryLimit       = 241
	codeNotEnoughSpace    = 243
	codeTooManyParts      = 252
	codeTooManyBytes      = 307
	codeQueryCancelled    = 394
	codeTooManyResultRows = 396
	codeAuthentication    = 516
)

// fault gives an error from the client its kind: Exhausted for a limit,
// Unavailable for an engine that does not answer, Internal for the rest. A nil
// err stays nil.
func fault(verb string, err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, context.Canceled) {
		return fmt.Errorf("%s: %w", verb, err)
	}
	var known *schema.Error
	if errors.As(err, &known) {
		return fmt.Errorf("%s: %w", verb, err)
	}
	var exception *clickhouse.Exception
	if errors.As(err, &exception) {
		return exceptionFault(verb, exception.Code, err)
	}
	var network net.Error
	if errors.As(err, &network) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, context.DeadlineExceeded) || errors.Is(err, clickhouse.ErrAcquireConnTimeout) {
		return schema.Errorf(schema.Unavailable, "%s: %w", verb, err)
	}
	return fmt.Errorf("%s: %w", verb, err)
}

// unreachable tells errors of who found no way to ClickHouse from those that came
// on it.
func unreachable(err error) bool {
	var way *net.OpError
	return errors.As(err, &way) && way.Op == "dial"
}

func exceptionFault(verb string, code int32, err error) error {
	switch code {
	case codeUnknownTable, codeUnknownDatabase:
		return schema.WithHint(schema.Errorf(schema.Unavailable, "%s: %w", verb, err),
			"the index has no tables yet: the archiver makes them at its start, or run annals reindex")
	case codeTimeout, codeTooManyRows, codeTooManyBytes, codeTooManyResultRows, codeMemoryLimit:
		return schema.WithHint(schema.Errorf(schema.Exhausted, "%s: %w", verb, err),
			"narrow the time range or add a filter")
	case codeTooManyQueries, codeTooManyParts, codeNotEnoughSpace, codeQueryCancelled:
		return schema.Errorf(schema.Unavailable, "%s: %w", verb, err)
	case codeAuthentication:
		return schema.WithHint(schema.Errorf(schema.Unavailable, "%s: %w", verb, err),
			"check clickhouse.user and its password")
	default:
		return fmt.Errorf("%s: %w", verb, err)
	}
}
