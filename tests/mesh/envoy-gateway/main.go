// Writes the Envoy configuration that Envoy Gateway's own translator makes of resources, without a cluster: their YAML
// comes on standard input; for each gateway its listeners, clusters and routes go to standard output, and what became of
// each policy. tests/mesh/translating_gateways.py drives it.
//
// The translator is in packages that only what is named below Envoy Gateway may import: hence the name in go.mod.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	resourcev3 "github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	"google.golang.org/protobuf/encoding/protojson"
	corev1 "k8s.io/api/core/v1"
	gwapiv1 "sigs.k8s.io/gateway-api/apis/v1"
	"sigs.k8s.io/yaml"

	egv1a1 "github.com/envoyproxy/gateway/api/v1alpha1"
	"github.com/envoyproxy/gateway/internal/gatewayapi"
	"github.com/envoyproxy/gateway/internal/gatewayapi/resource"
	"github.com/envoyproxy/gateway/internal/logging"
	"github.com/envoyproxy/gateway/internal/xds/translator"
)

type made struct {
	Gateways map[string]map[string][]json.RawMessage `json:"gateways"`
	Policies map[string]gwapiv1.PolicyStatus         `json:"policies"`
}

func main() {
	told, err := translate(os.Stdin)
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(told)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func translate(from io.Reader) (*made, error) {
	text, err := io.ReadAll(from)
	if err != nil {
		return nil, err
	}
	resources, err := resource.LoadResourcesFromYAMLBytes(text, false, nil)
	if err != nil {
		return nil, err
	}
	if resources.GatewayClass == nil {
		return nil, errors.New("there is no GatewayClass")
	}
	if err := label(resources.Namespaces, text); err != nil {
		return nil, err
	}
	// Standard output is for the answer.
	logger := logging.DefaultLogger(os.Stderr, egv1a1.LogLevelError)
	gateways := &gatewayapi.Translator{
		GatewayControllerName: string(resources.GatewayClass.Spec.ControllerName),
		GatewayClassName:      gwapiv1.ObjectName(resources.GatewayClass.Name),
		// Clusters lead to the addresses of Services: of YAML, the loader takes no EndpointSlice.
		EndpointRoutingDisabled: true,
		Logger:                  logger,
	}
	// An error here is one of a resource, whose status tells it.
	translated, _ := gateways.Translate(context.Background(), resources)
	told := &made{Gateways: map[string]map[string][]json.RawMessage{}, Policies: map[string]gwapiv1.PolicyStatus{}}
	for name, ir := range translated.XdsIR {
		// Envoy Gateway sends nothing to an Envoy that it finds invalid itself.
		if err := ir.Validate(); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		table, err := (&translator.Translator{Logger: logger}).Translate(context.Background(), ir)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		written := map[string][]json.RawMessage{}
		for key, kind := range map[string]resourcev3.Type{
			"listeners": resourcev3.ListenerType,
			"clusters":  resourcev3.ClusterType,
			"routes":    resourcev3.RouteType,
			"secrets":   resourcev3.SecretType,
		} {
			for _, one := range table.XdsResources[kind] {
				line, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(one)
				if err != nil {
					return nil, err
				}
				written[key] = append(written[key], line)
			}
		}
		told.Gateways[name] = written
	}
	for _, one := range translated.SecurityPolicies {
		told.Policies["SecurityPolicy/"+one.Namespace+"/"+one.Name] = one.Status
	}
	for _, one := range translated.ClientTrafficPolicies {
		told.Policies["ClientTrafficPolicy/"+one.Namespace+"/"+one.Name] = one.Status
	}
	return told, nil
}

// label gives the namespaces their labels, which the loader drops; a gateway chooses by them whose routes it takes.
func label(namespaces []*corev1.Namespace, text []byte) error {
	return resource.IterYAMLBytes(text, func(document []byte) error {
		var said corev1.Namespace
		if err := yaml.Unmarshal(document, &said); err != nil || said.Kind != "Namespace" {
			return err
		}
		for _, one := range namespaces {
			if one.Name == said.Name {
				one.Labels = said.Labels
			}
		}
		return nil
	})
}
