// What Istio generates from envoy/istio.yaml for the gateway of one network, in the form of Envoy's config dump.
//
// It is a test because Istio's fake discovery server wants to be run by one. `make mesh-fixtures` calls it.
package generate

import (
	"os"
	"strings"
	"testing"

	admin "github.com/envoyproxy/go-control-plane/envoy/admin/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"sigs.k8s.io/yaml"

	"istio.io/istio/pilot/pkg/model"
	"istio.io/istio/pilot/test/xds"
	"istio.io/istio/pkg/config/mesh"
)

func read(t *testing.T, variable string) string {
	content, err := os.ReadFile(os.Getenv(variable))
	if err != nil {
		t.Fatalf("%s: %v", variable, err)
	}
	return string(content)
}

// The first document of envoy/istio.yaml holds values of the istiod chart, all others are resources.
func parts(t *testing.T, file string) (string, string) {
	values, resources, found := strings.Cut(file, "\n---\n")
	if !found {
		t.Fatal("no document behind the values")
	}
	var parsed map[string]any
	if err := yaml.Unmarshal([]byte(values), &parsed); err != nil {
		t.Fatal(err)
	}
	config, err := yaml.Marshal(parsed["meshConfig"])
	if err != nil {
		t.Fatal(err)
	}
	return string(config), resources
}

func packed(t *testing.T, message proto.Message) *anypb.Any {
	value, err := anypb.New(message)
	if err != nil {
		t.Fatal(err)
	}
	return value
}

func TestGenerate(t *testing.T) {
	network := os.Getenv("NETWORK")
	settings, resources := parts(t, read(t, "ISTIO_FILE"))
	meshConfig, err := mesh.ApplyMeshConfig(settings, mesh.DefaultMeshConfig())
	if err != nil {
		t.Fatal(err)
	}
	server := xds.NewFakeDiscoveryServer(t, xds.FakeOptions{
		MeshConfig:   meshConfig,
		ConfigString: resources + "\n---\n" + read(t, "SURROUNDINGS"),
	})
	namespace := "ingress-" + network
	labels := map[string]string{"app": network + "-gateway"}
	gateway := server.SetupProxy(&model.Proxy{
		Type:            model.Router,
		ID:              network + "-gateway." + namespace,
		ConfigNamespace: namespace,
		IPAddresses:     []string{"127.0.0.1"},
		Labels:          labels,
		Metadata:        &model.NodeMetadata{Namespace: namespace, Labels: labels, ClusterID: "Kubernetes", UnprivilegedPod: "true"},
	})

	clusters := &admin.ClustersConfigDump{}
	for _, one := range server.Clusters(gateway) {
		clusters.DynamicActiveClusters = append(clusters.DynamicActiveClusters,
			&admin.ClustersConfigDump_DynamicCluster{Cluster: packed(t, one)})
	}
	endpoints := &admin.EndpointsConfigDump{}
	for _, one := range server.Endpoints(gateway) {
		endpoints.DynamicEndpointConfigs = append(endpoints.DynamicEndpointConfigs,
			&admin.EndpointsConfigDump_DynamicEndpointConfig{EndpointConfig: packed(t, one)})
	}
	listeners := &admin.ListenersConfigDump{}
	for _, one := range server.Listeners(gateway) {
		listeners.DynamicListeners = append(listeners.DynamicListeners, &admin.ListenersConfigDump_DynamicListener{
			Name:        one.Name,
			ActiveState: &admin.ListenersConfigDump_DynamicListenerState{Listener: packed(t, one)},
		})
	}
	routes := &admin.RoutesConfigDump{}
	for _, one := range server.Routes(gateway) {
		routes.DynamicRouteConfigs = append(routes.DynamicRouteConfigs,
			&admin.RoutesConfigDump_DynamicRouteConfig{RouteConfig: packed(t, one)})
	}
	dump := &admin.ConfigDump{Configs: []*anypb.Any{
		packed(t, clusters), packed(t, endpoints), packed(t, listeners), packed(t, routes),
	}}
	content, err := protojson.MarshalOptions{UseProtoNames: true, Indent: " "}.Marshal(dump)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(os.Getenv("OUTPUT"), append(content, '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
}
