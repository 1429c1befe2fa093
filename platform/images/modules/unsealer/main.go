// Unsealer sits beside Vault and unseals it after a restart, with the key from a mounted Secret.
//
// The key is as safe as the Secret: encrypted in etcd and readable by this pod. It is never logged
// and never an argument. Before Vault is initialised there is no key, and the unsealer waits.
//
// In Vault's own container there is no other program, so it has two more uses there: "unsealer
// reload" tells Vault (process 1) to read its certificate again, "unsealer trusts" prints the CAs.
package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

const (
	address  = "https://localhost:8200"
	caFile   = "/etc/platform-ca/ca.crt"
	keyFile  = "/etc/unseal/key"
	interval = 500 * time.Millisecond
)

func main() {
	log.SetFlags(log.LstdFlags | log.LUTC)
	if len(os.Args) > 1 {
		if err := aside(os.Args[1:]); err != nil {
			log.Fatal(err)
		}
		return
	}
	believed := &trust{}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGINT, syscall.SIGTERM)
	ticker := time.NewTicker(interval)
	said := ""
	for {
		select {
		case <-stop:
			return
		case <-ticker.C:
			if state := believed.step(); state != said {
				log.Print(state)
				said = state
			}
		}
	}
}

// aside is what it does in Vault's container.
func aside(arguments []string) error {
	switch strings.Join(arguments, " ") {
	case "reload":
		return syscall.Kill(1, syscall.SIGHUP)
	case "trusts":
		pem, err := os.ReadFile(caFile)
		if err != nil {
			return err
		}
		_, err = os.Stdout.Write(pem)
		return err
	}
	return fmt.Errorf("usage: unsealer [reload | trusts]")
}

// trust is the client that believes the CAs that are in force now.
type trust struct {
	pem    []byte
	client *http.Client
}

// step looks once with it.
func (t *trust) step() string {
	pem, err := os.ReadFile(caFile)
	if err != nil {
		return "there is no CA"
	}
	if !bytes.Equal(pem, t.pem) {
		client, err := verifiedClient(pem)
		if err != nil {
			return err.Error()
		}
		if t.client != nil {
			t.client.CloseIdleConnections()
		}
		t.pem, t.client = pem, client
	}
	return step(t.client)
}

// step looks once and unseals where that is wanted; it returns what it saw, in words.
func step(client *http.Client) string {
	answer, err := client.Get(address + "/v1/sys/seal-status")
	if err != nil {
		return "vault does not answer yet"
	}
	defer finish(answer.Body)
	var status struct {
		Initialized bool `json:"initialized"`
		Sealed      bool `json:"sealed"`
	}
	if err := json.NewDecoder(answer.Body).Decode(&status); err != nil {
		return "vault's seal status cannot be read"
	}
	if !status.Initialized {
		return "vault is not initialised yet"
	}
	key, err := os.ReadFile(keyFile)
	switch {
	case err != nil && status.Sealed:
		return "vault is sealed and there is no key yet"
	case err != nil:
		return "vault is unsealed and there is no key yet"
	case !status.Sealed:
		return "vault is unsealed and the key is at hand"
	}
	body, err := json.Marshal(map[string]string{"key": strings.TrimSpace(string(key))})
	if err != nil {
		return "the key cannot be encoded"
	}
	unsealed, err := client.Post(address+"/v1/sys/unseal", "application/json", bytes.NewReader(body))
	if err != nil {
		return "vault does not answer"
	}
	defer finish(unsealed.Body)
	return fmt.Sprintf("unsealed vault: status %d", unsealed.StatusCode)
}

// finish reads what is left, so that the connection is used again instead of a new handshake.
func finish(body io.ReadCloser) {
	_, _ = io.Copy(io.Discard, io.LimitReader(body, 1<<16))
	_ = body.Close()
}

func verifiedClient(pem []byte) (*http.Client, error) {
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate", caFile)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}
	return &http.Client{Transport: transport, Timeout: 5 * time.Second}, nil
}
