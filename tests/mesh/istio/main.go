// Writes the Envoy configuration that Istio's own control plane makes of resources, without a cluster: one document of
// JSON comes on standard input, one goes to standard output. tests/mesh/translating.py drives it.
package main

import (
	"encoding/json"
	"fmt"
	"os"

	"google.golang.org/protobuf/proto"

	"istio.io/istio/pilot/pkg/model"
	"istio.io/istio/pilot/test/xds"
	"istio.io/istio/pkg/config/mesh"
	"istio.io/istio/pkg/log"
	"istio.io/istio/pkg/test"
	"istio.io/istio/pkg/util/protomarshal"
)

// job says what there is, and for whom configuration is wanted. Mesh, Kubernetes and Configs are YAML.
type job struct {
	Mesh       string  `json:"mesh"`
	Kubernetes string  `json:"kubernetes"`
	Configs    string  `json:"configs"`
	Proxies    []proxy `json:"proxies"`
}

type proxy struct {
	Name        string            `json:"name"`
	Type        string            `json:"type"`
	Namespace   string            `json:"namespace"`
	Address     string            `json:"address"`
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
}

type made struct {
	Listeners []json.RawMessage `json:"listeners"`
	Clusters  []json.RawMessage `json:"clusters"`
	Routes    []json.RawMessage `json:"routes"`
	Endpoints []json.RawMessage `json:"endpoints"`
}

func main() {
	// Standard output is for the answer.
	options := log.DefaultOptions()
	options.OutputPaths = []string{"stderr"}
	options.SetDefaultOutputLevel(log.OverrideScopeName, log.WarnLevel)
	if err := log.Configure(options); err != nil {
		fail(err)
	}
	var asked job
	if err := json.NewDecoder(os.Stdin).Decode(&asked); err != nil {
		fail(err)
	}
	told := map[string]made{}
	err := test.Wrap(func(t test.Failer) {
		meshConfig, err := mesh.ApplyMeshConfigDefaults(asked.Mesh)
		if err != nil {
			t.Fatal(err)
		}
		server := xds.NewFakeDiscoveryServer(t, xds.FakeOptions{
			MeshConfig:             meshConfig,
			KubernetesObjectString: asked.Kubernetes,
			ConfigString:           asked.Configs,
		})
		for _, one := range asked.Proxies {
			told[one.Name] = translate(t, server, one)
		}
	})
	if err != nil {
		fail(err)
	}
	if err := json.NewEncoder(os.Stdout).Encode(told); err != nil {
		fail(err)
	}
}

func translate(t test.Failer, server *xds.FakeDiscoveryServer, one proxy) made {
	node := server.SetupProxy(&model.Proxy{
		Type:            model.NodeType(one.Type),
		ConfigNamespace: one.Namespace,
		IPAddresses:     []string{one.Address},
		Labels:          one.Labels,
		Metadata: &model.NodeMetadata{
			Namespace:   one.Namespace,
			Labels:      one.Labels,
			Annotations: one.Annotations,
		},
	})
	listeners := server.Listeners(node)
	return made{
		Listeners: written(t, listeners),
		Clusters:  written(t, server.Clusters(node)),
		Routes:    written(t, server.RoutesFromListeners(node, listeners)),
		Endpoints: written(t, server.Endpoints(node)),
	}
}

func written[M proto.Message](t test.Failer, messages []M) []json.RawMessage {
	lines := []json.RawMessage{}
	for _, message := range messages {
		line, err := protomarshal.MarshalProtoNames(message)
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, line)
	}
	return lines
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
