module sigbox.test/gitsign

go 1.25.5

require github.com/sigstore/gitsign v0.14.0
