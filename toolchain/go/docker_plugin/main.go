// Command pulumi-resource-docker serves the Terraform provider for Docker to the Pulumi engine.
//
// It is built on machines that cannot download the official plugin. Tokens and property names are those of the
// official plugin (checked against its published schema, version 5.1.0), so that the published SDK works with
// either build and a state written by one is read by the other without a difference.
package main

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfbridge"
	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfbridge/tokens"
	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfgen"
	shimv2 "github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfshim/sdk-v2"
	"github.com/pulumi/pulumi/sdk/v3/go/common/diag"
	"github.com/pulumi/pulumi/sdk/v3/go/common/diag/colors"
	"github.com/terraform-providers/terraform-provider-docker/internal/provider"
)

// version is set by the linker, to the version of the official plugin that this build stands in for.
var version = "0.0.0"

func main() {
	info := providerInfo()
	schema, err := packageSchema(info)
	if err != nil {
		fmt.Fprintf(os.Stderr, "cannot describe the docker provider: %v\n", err)
		os.Exit(1)
	}
	tfbridge.Main("docker", version, info, schema)
}

// providerInfo maps the Terraform provider to Pulumi's names, where the usual rules give other ones than the
// official plugin has.
func providerInfo() tfbridge.ProviderInfo {
	info := tfbridge.ProviderInfo{
		P:           shimv2.NewProvider(provider.New(version)()),
		Name:        "docker",
		DisplayName: "Docker",
		Description: "Docker resources, bridged from the Terraform provider and built from source.",
		License:     "Apache-2.0",
		Version:     version,
		Config: map[string]*tfbridge.SchemaInfo{
			"host":          {Default: &tfbridge.DefaultInfo{EnvVars: []string{"DOCKER_HOST"}}},
			"registry_auth": {Name: "registryAuth"},
		},
		Resources: map[string]*tfbridge.ResourceInfo{
			"docker_container": {
				// A container has a fixed name and often a fixed port: the old one has to go first.
				DeleteBeforeReplace: true,
				Fields: map[string]*tfbridge.SchemaInfo{
					"command":           {Name: "command"},
					"networks_advanced": {Name: "networksAdvanced"},
				},
			},
			"docker_config": {Tok: "docker:index/serviceConfig:ServiceConfig"},
			"docker_image": {
				Tok: "docker:index/remoteImage:RemoteImage",
				// An entry of its own keeps the name of an image out of the automatic naming below.
				Fields: map[string]*tfbridge.SchemaInfo{"name": {Name: "name"}},
			},
		},
		DataSources: map[string]*tfbridge.DataSourceInfo{
			"docker_image": {Tok: "docker:index/getRemoteImage:getRemoteImage"},
		},
	}
	info.MustComputeTokens(tokens.SingleModule("docker_", "index", tokens.MakeStandard("docker")))
	const longestName = 255 // as the official plugin has it
	info.SetAutonaming(longestName, "-")
	return info
}

// packageSchema is the Pulumi schema of the provider, as JSON. It is made at each start, in about 60 ms, so that
// it cannot disagree with the provider that it describes.
func packageSchema(info tfbridge.ProviderInfo) ([]byte, error) {
	messages := diag.DefaultSink(os.Stderr, os.Stderr, diag.FormatOptions{Color: colors.Never})
	generated, err := tfgen.GenerateSchemaWithOptions(tfgen.GenerateSchemaOptions{
		ProviderInfo:    info,
		DiagnosticsSink: messages,
		XInMemoryDocs:   true, // there is no documentation folder to look for
	})
	if err != nil {
		return nil, err
	}
	return json.Marshal(generated.PackageSpec)
}
