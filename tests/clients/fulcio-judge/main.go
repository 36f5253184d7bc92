// fulcio-judge CONFIG FULCIO SIGBOX: a fulcio and a sigbox with the same configuration, the same chain and the same key; every
// case of cases.go goes to both, by every door it is made for, and each difference between their answers is printed.
//
// CONFIG is upstream's own `config/identity/config.yaml`: its mappings of claims are used as they are, its issuers are replaced
// by issuers on loopback. The exit code is 0 where every difference is one of differences.go and each of those was seen.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"syscall"
	"time"
)

func main() {
	if len(os.Args) != 4 {
		fmt.Fprintf(os.Stderr, "expected CONFIG FULCIO SIGBOX, got %q\n", os.Args[1:])
		os.Exit(2)
	}
	passed, err := judge(os.Args[1], os.Args[2], os.Args[3])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	if !passed {
		os.Exit(1)
	}
}

func judge(upstream, fulcio, sigbox string) (bool, error) {
	folder, err := os.MkdirTemp("", "fulcio-judge-")
	if err != nil {
		return false, err
	}
	defer os.RemoveAll(folder)
	issuers, err := startOrigin()
	if err != nil {
		return false, err
	}
	config := filepath.Join(folder, "config.yaml")
	if err := writeConfig(upstream, config, issuers.base); err != nil {
		return false, err
	}
	ours, stop, err := startSigbox(sigbox, config, folder)
	if err != nil {
		return false, err
	}
	defer stop()
	theirs, stop, err := startFulcio(fulcio, config, folder, ours)
	if err != nil {
		return false, err
	}
	defer stop()

	asked, issued := 0, 0
	var found []string
	for _, c := range cases() {
		c.rebase(issuers.base)
		for _, door := range c.doors() {
			token, err := issuers.token(&c)
			if err != nil {
				return false, fmt.Errorf("%s: %w", c.name, err)
			}
			request, err := c.request(token)
			if err != nil {
				return false, fmt.Errorf("%s: %w", c.name, err)
			}
			their, err := door.ask(theirs, request)
			if err != nil {
				return false, fmt.Errorf("%s, %s, fulcio: %w", c.name, door.name, err)
			}
			our, err := door.ask(ours, request)
			if err != nil {
				return false, fmt.Errorf("%s, %s, sigbox: %w", c.name, door.name, err)
			}
			asked++
			if our.leaf() != nil && their.leaf() != nil {
				issued++
			}
			for _, difference := range compare(their, our) {
				found = append(found, fmt.Sprintf("%s | %s | %s", c.name, door.name, difference))
			}
		}
	}
	return report(asked, issued, found), nil
}

// report prints what is not expected, and what was expected and did not come.
func report(asked, issued int, found []string) bool {
	seen := make([]int, len(expected))
	unexpected := 0
	for _, line := range found {
		known := false
		for number, one := range expected {
			if one.pattern.MatchString(line) {
				seen[number]++
				known = true
				break
			}
		}
		if !known {
			unexpected++
			fmt.Println("DIFFERENT ", line)
		} else if os.Getenv("JUDGE_SHOW") != "" {
			fmt.Println("expected  ", line)
		}
	}
	missing := 0
	for number, one := range expected {
		if seen[number] == 0 {
			missing++
			fmt.Println("NOT SEEN  ", one.pattern, "|", one.reason)
		} else {
			fmt.Printf("expected %5d times: %s\n", seen[number], one.reason)
		}
	}
	fmt.Printf("%d requests to each, %d certificates from both compared; %d differences, %d of them expected; %d expected and not seen\n",
		asked, issued, len(found), len(found)-unexpected, missing)
	return unexpected == 0 && missing == 0
}

// writeConfig takes upstream's mappings and puts issuers of ours before them.
func writeConfig(upstream, file, base string) error {
	text, err := os.ReadFile(upstream)
	if err != nil {
		return err
	}
	_, mappings, found := strings.Cut(string(text), "\nci-issuer-metadata:")
	if !found {
		return fmt.Errorf("%s: expected ci-issuer-metadata, got none", upstream)
	}
	head, _, found := strings.Cut(string(text), "\noidc-issuers:")
	if !found {
		return fmt.Errorf("%s: expected oidc-issuers, got none", upstream)
	}
	var out strings.Builder
	out.WriteString(head + "\noidc-issuers:\n")
	paths := make([]string, 0, len(issuerTypes))
	for path := range issuerTypes {
		paths = append(paths, path)
	}
	sort.Strings(paths)
	for _, path := range paths {
		url := base + "/" + path
		fmt.Fprintf(&out, "  %s:\n    issuer-url: %s\n    client-id: sigstore\n", url, url)
		for _, line := range strings.Split(issuerTypes[path], ";") {
			fmt.Fprintf(&out, "    %s\n", strings.ReplaceAll(strings.TrimSpace(line), "BASE", base))
		}
	}
	fmt.Fprintf(&out, "meta-issuers:\n  %s/clusters/*:\n    client-id: sigstore\n    type: kubernetes\n", base)
	out.WriteString("ci-issuer-metadata:" + mappings)
	if !strings.Contains(mappings, "buddy") {
		out.WriteString(buddy)
	}
	return os.WriteFile(file, []byte(out.String()), 0o600)
}

// Buddy's mapping is younger than the release.
const buddy = `
  buddy-pipeline:
    default-template-values:
      base_url: https://app.buddy.works
      revision: ""
      ref: ""
    extension-templates:
      build-signer-uri: "{{.base_url}}/{{.workspace_domain}}/{{.project_name}}/pipelines/pipeline/{{.pipeline_id}}"
      build-trigger: triggered_on
      runner-environment: runner_environment
      source-repository-uri: "{{.base_url}}/{{.workspace_domain}}/{{.project_name}}"
      source-repository-digest: revision
      source-repository-ref: ref
      source-repository-owner-uri: "{{.base_url}}/{{.workspace_domain}}"
      run-invocation-uri: "{{.base_url}}/{{.workspace_domain}}/{{.project_name}}/pipelines/pipeline/{{.pipeline_id}}/execution/{{.execution_id}}"
    subject-alternative-name-template: "{{.base_url}}/{{.workspace_domain}}/{{.project_name}}/pipelines/pipeline/{{.pipeline_id}}"
`

// A running authority, and where it answers.
type server struct {
	http, grpc, legacy string
	data               string
}

func startSigbox(program, config, folder string) (*server, func(), error) {
	data := filepath.Join(folder, "data")
	ports, err := freePorts(3)
	if err != nil {
		return nil, nil, err
	}
	command := exec.Command(program, "up", "--json", "--data", data, "--fulcio-config", config,
		"--listen", "localhost:"+ports[0], "--tls-listen", "localhost:"+ports[1], "--metrics-listen", "localhost:"+ports[2])
	command.Stderr, err = os.Create(filepath.Join(folder, "sigbox.log"))
	if err != nil {
		return nil, nil, err
	}
	output, err := command.StdoutPipe()
	if err != nil {
		return nil, nil, err
	}
	if err := command.Start(); err != nil {
		return nil, nil, err
	}
	line, err := bufio.NewReader(output).ReadString('\n')
	if err != nil {
		end(command)
		said, _ := os.ReadFile(filepath.Join(folder, "sigbox.log"))
		return nil, nil, fmt.Errorf("sigbox did not start:\n%s", said)
	}
	var ready struct{ URL string }
	if err := json.Unmarshal([]byte(line), &ready); err != nil {
		end(command)
		return nil, nil, err
	}
	host := strings.TrimPrefix(ready.URL, "http://")
	return &server{ready.URL, "dns:" + host, "dns:" + host, data}, func() { end(command) }, nil
}

func startFulcio(program, config, folder string, ours *server) (*server, func(), error) {
	chain := filepath.Join(folder, "chain.pem")
	answer, err := http.Get(ours.http + "/api/v1/rootCert")
	if err != nil {
		return nil, nil, err
	}
	defer answer.Body.Close()
	pem, err := io.ReadAll(answer.Body)
	if err != nil {
		return nil, nil, err
	}
	if err := os.WriteFile(chain, pem, 0o600); err != nil {
		return nil, nil, err
	}
	ports, err := freePorts(3)
	if err != nil {
		return nil, nil, err
	}
	socket := fmt.Sprintf("fulcio-judge-%d", os.Getpid())
	command := exec.Command(program, "serve", "--ca", "fileca", "--fileca-cert", chain,
		"--fileca-key", filepath.Join(ours.data, "keys", "fulcio-ca-1.pem"), "--fileca-key-passwd", "none", "--fileca-watch=false",
		"--ct-log-url", "", "--config-path", config, "--host", "127.0.0.1", "--port", ports[0],
		"--grpc-host", "127.0.0.1", "--grpc-port", ports[1], "--metrics-port", ports[2],
		"--legacy-unix-domain-socket", "@"+socket, "--log_type", "prod")
	log := filepath.Join(folder, "fulcio.log")
	command.Stderr, err = os.Create(log)
	if err != nil {
		return nil, nil, err
	}
	command.Stdout = command.Stderr
	if err := command.Start(); err != nil {
		return nil, nil, err
	}
	url := "http://127.0.0.1:" + ports[0]
	for began := time.Now(); time.Since(began) < 30*time.Second; time.Sleep(100 * time.Millisecond) {
		if answer, err := http.Get(url + "/api/v2/configuration"); err == nil && answer.StatusCode == 200 {
			answer.Body.Close()
			return &server{url, "dns:127.0.0.1:" + ports[1], "unix-abstract:" + socket, ""}, func() { end(command) }, nil
		}
	}
	end(command)
	said, _ := os.ReadFile(log)
	return nil, nil, fmt.Errorf("fulcio did not start:\n%s", said)
}

func end(command *exec.Cmd) {
	command.Process.Signal(syscall.SIGTERM)
	done := make(chan struct{})
	go func() { command.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		command.Process.Kill()
		<-done
	}
}

// freePorts are ports of loopback that nobody listens on, in both families.
func freePorts(count int) ([]string, error) {
	var ports []string
	for range count {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer listener.Close()
		_, port, err := net.SplitHostPort(listener.Addr().String())
		if err != nil {
			return nil, err
		}
		ports = append(ports, port)
	}
	return ports, nil
}
