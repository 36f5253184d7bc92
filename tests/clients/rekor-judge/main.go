// Reads proposed entries, one JSON text a line, and writes for each what rekor-server would log or why it refuses it: the
// code of the server without its log. The counterpart of rekor/entry/examples/canonical.rs.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"

	"github.com/go-openapi/runtime"
	"github.com/sigstore/rekor/pkg/generated/models"
	"github.com/sigstore/rekor/pkg/types"
	_ "github.com/sigstore/rekor/pkg/types/alpine/v0.0.1"
	_ "github.com/sigstore/rekor/pkg/types/cose/v0.0.1"
	_ "github.com/sigstore/rekor/pkg/types/dsse/v0.0.1"
	_ "github.com/sigstore/rekor/pkg/types/hashedrekord/v0.0.1"
	_ "github.com/sigstore/rekor/pkg/types/helm/v0.0.1"
	_ "github.com/sigstore/rekor/pkg/types/intoto/v0.0.1"
	_ "github.com/sigstore/rekor/pkg/types/intoto/v0.0.2"
	_ "github.com/sigstore/rekor/pkg/types/jar/v0.0.1"
	_ "github.com/sigstore/rekor/pkg/types/rekord/v0.0.1"
	_ "github.com/sigstore/rekor/pkg/types/rfc3161/v0.0.1"
	_ "github.com/sigstore/rekor/pkg/types/rpm/v0.0.1"
	_ "github.com/sigstore/rekor/pkg/types/tuf/v0.0.1"
)

func judge(line []byte) (body []byte, keys []string, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v", r)
		}
	}()
	pe, err := models.UnmarshalProposedEntry(bytes.NewReader(line), runtime.JSONConsumer())
	if err != nil {
		return nil, nil, err
	}
	impl, err := types.CreateVersionedEntry(pe)
	if err != nil {
		return nil, nil, err
	}
	if ok, err := impl.Insertable(); !ok {
		return nil, nil, fmt.Errorf("entry not insertable into log: %w", err)
	}
	body, err = types.CanonicalizeEntry(context.Background(), impl)
	if err != nil {
		return nil, nil, err
	}
	keys, _ = impl.IndexKeys()
	return body, keys, nil
}

func main() {
	in := bufio.NewReaderSize(os.Stdin, 1<<26)
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	for {
		line, err := in.ReadBytes('\n')
		if len(line) > 0 {
			body, keys, jerr := judge(line)
			m := map[string]any{}
			if jerr != nil {
				m["error"] = jerr.Error()
			} else {
				m["body"] = string(body)
				m["keys"] = keys
			}
			j, _ := json.Marshal(m)
			out.Write(j)
			out.WriteByte('\n')
			out.Flush()
		}
		if err != nil {
			return
		}
	}
}
