package kafka

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

// TokenFile is a SASL.Token that reads a file anew at every connection, so that
// the token in it may be rotated.
func TokenFile(path string) func(context.Context) (string, error) {
	return func(context.Context) (string, error) {
		raw, err := os.ReadFile(path)
		if err != nil {
			return "", fmt.Errorf("read kafka.sasl.token_file: %w", err)
		}
		return strings.TrimSpace(string(raw)), nil
	}
}

// tokenTimeout bounds one request to the token endpoint; the client asks again
// when it connects anew, with pauses that grow.
const tokenTimeout = 10 * time.Second

// ClientCredentials is a SASL.Token that asks a token endpoint by the client
// credentials grant (RFC 6749, section 4.4), and keeps the token until it
// expires. scope may name several, separated by spaces.
func ClientCredentials(tokenURL, clientID, clientSecret, scope string) func(context.Context) (string, error) {
	grant := clientcredentials.Config{ClientID: clientID, ClientSecret: clientSecret, TokenURL: tokenURL, Scopes: strings.Fields(scope)}
	// A connection waits for the token, and all others for the same request: one
	// that gets no answer must end.
	bounded := context.WithValue(context.Background(), oauth2.HTTPClient, &http.Client{Timeout: tokenTimeout})
	source := grant.TokenSource(bounded)
	return func(context.Context) (string, error) {
		token, err := source.Token()
		if err != nil {
			return "", fmt.Errorf("ask kafka.sasl.token_url for a token: %w", err)
		}
		return token.AccessToken, nil
	}
}
