package kafka

import (
	"context"
	"fmt"
	"os"
	"strings"

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

// ClientCredentials is a SASL.Token that asks a token endpoint by the client
// credentials grant (RFC 6749, section 4.4), and keeps the token until it
// expires. scope may name several, separated by spaces.
func ClientCredentials(tokenURL, clientID, clientSecret, scope string) func(context.Context) (string, error) {
	grant := clientcredentials.Config{ClientID: clientID, ClientSecret: clientSecret, TokenURL: tokenURL, Scopes: strings.Fields(scope)}
	source := grant.TokenSource(context.Background())
	return func(context.Context) (string, error) {
		token, err := source.Token()
		if err != nil {
			return "", fmt.Errorf("ask kafka.sasl.token_url for a token: %w", err)
		}
		return token.AccessToken, nil
	}
}
