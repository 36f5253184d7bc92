package main

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"

	common "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	tiles "github.com/sigstore/rekor-tiles/v2/pkg/generated/protobuf"
	tilesnote "github.com/sigstore/rekor-tiles/v2/pkg/note"
	tilesverify "github.com/sigstore/rekor-tiles/v2/pkg/verify"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore/pkg/signature"
	"golang.org/x/mod/sumdb/note"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
)

// What was logged, and how the log answered the same entry again.
type logged struct {
	Entry json.RawMessage `json:"entry"`
	Again string          `json:"again"`
	Index string          `json:"index"`
}

// Signs FILE with a new key, logs the signature in Rekor v2 over gRPC, verifies the answer with rekor-tiles' own code, and
// logs it a second time.
func logOverGRPC(o options) error {
	data, err := os.ReadFile(o.file)
	if err != nil {
		return err
	}
	base, err := url.Parse(o.rekor)
	if err != nil {
		return err
	}
	request, err := entryOf(data)
	if err != nil {
		return err
	}
	verifier, err := logVerifier(o.trustedRoot, base.Hostname())
	if err != nil {
		return err
	}
	connection, err := grpc.NewClient(base.Host, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer connection.Close()
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	log := tiles.NewRekorClient(connection)
	entry, err := log.CreateEntry(ctx, request)
	if err != nil {
		return err
	}
	if err := tilesverify.VerifyLogEntry(entry, verifier); err != nil {
		return err
	}
	text, err := protojson.Marshal(entry)
	if err != nil {
		return err
	}
	var header, trailer metadata.MD
	_, err = log.CreateEntry(ctx, request, grpc.Header(&header), grpc.Trailer(&trailer))
	if status.Code(err) == codes.OK {
		return errors.New("expected a refusal of the same entry, got another entry")
	}
	made := logged{Entry: text, Again: status.Code(err).String()}
	// An answer without a message has its metadata in its trailer.
	if index := append(header.Get("x-log-index"), trailer.Get("x-log-index")...); len(index) == 1 {
		made.Index = index[0]
	}
	return json.NewEncoder(os.Stdout).Encode(made)
}

func entryOf(data []byte) (*tiles.CreateEntryRequest, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	digest := sha256.Sum256(data)
	signed, err := ecdsa.SignASN1(rand.Reader, key, digest[:])
	if err != nil {
		return nil, err
	}
	spki, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return nil, err
	}
	return &tiles.CreateEntryRequest{Spec: &tiles.CreateEntryRequest_HashedRekordRequestV002{
		HashedRekordRequestV002: &tiles.HashedRekordRequestV002{
			Digest: digest[:],
			Signature: &tiles.Signature{
				Content: signed,
				Verifier: &tiles.Verifier{
					Verifier:   &tiles.Verifier_PublicKey{PublicKey: &tiles.PublicKey{RawBytes: spki}},
					KeyDetails: common.PublicKeyDetails_PKIX_ECDSA_P256_SHA_256,
				},
			},
		},
	}}, nil
}

// The log that a trusted root has with an Ed25519 key: the one of Rekor v2.
func logVerifier(trustedRoot, origin string) (note.Verifier, error) {
	trusted, err := root.NewTrustedRootFromPath(trustedRoot)
	if err != nil {
		return nil, err
	}
	for _, log := range trusted.RekorLogs() {
		if key, ok := log.PublicKey.(ed25519.PublicKey); ok {
			verifier, err := signature.LoadVerifier(key, crypto.Hash(0))
			if err != nil {
				return nil, err
			}
			return tilesnote.NewNoteVerifier(origin, verifier)
		}
	}
	return nil, fmt.Errorf("%s: expected a log with an Ed25519 key", trustedRoot)
}
