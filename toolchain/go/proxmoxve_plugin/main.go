// Command pulumi-resource-proxmoxve serves the Terraform provider for Proxmox VE to the Pulumi engine.
//
// It is built on machines that cannot download the official plugin. Tokens and property names are those of the
// official plugin (checked against its published schema, version 8.3.0, which has the same Terraform provider),
// so that the published SDK works with either build and a state written by one is read by the other.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"github.com/bpg/terraform-provider-proxmox/fwprovider"
	"github.com/bpg/terraform-provider-proxmox/proxmoxtf/provider"
	pftfbridge "github.com/pulumi/pulumi-terraform-bridge/v3/pkg/pf/tfbridge"
	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfbridge"
	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfgen"
	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfshim"
	shimv2 "github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfshim/sdk-v2"
	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/x/muxer"
	"github.com/pulumi/pulumi-terraform-bridge/v3/unstable/metadata"
	"github.com/pulumi/pulumi/sdk/v3/go/common/diag"
	"github.com/pulumi/pulumi/sdk/v3/go/common/diag/colors"
	engine "github.com/pulumi/pulumi/sdk/v3/go/common/resource"
)

const (
	packageName = "proxmoxve"
	repository  = "https://github.com/muhlba91/pulumi-proxmoxve"
)

// version is set by the linker, to the version of the official plugin that this build stands in for.
var version = "0.0.0"

func main() {
	ctx := context.Background()
	info := providerInfo(ctx)
	if err := shareOut(info); err != nil {
		fail(err)
	}
	schema, err := packageSchema(info)
	if err != nil {
		fail(err)
	}
	pftfbridge.MainWithMuxer(ctx, packageName, info, schema)
}

func fail(err error) {
	fmt.Fprintf(os.Stderr, "cannot describe the provider of Proxmox VE: %v\n", err)
	os.Exit(1)
}

// providerInfo maps the Terraform provider to Pulumi's names, as the official plugin has them.
func providerInfo(ctx context.Context) tfbridge.ProviderInfo {
	older := shimv2.NewProvider(provider.ProxmoxVirtualEnvironment())
	info := tfbridge.ProviderInfo{
		P:              pftfbridge.MuxShimWithPF(ctx, older, fwprovider.New(version)()),
		Name:           packageName,
		ResourcePrefix: "proxmox",
		DisplayName:    "Proxmox Virtual Environment (Proxmox VE)",
		Description:    "Resources of Proxmox VE, bridged from the Terraform provider and built from source.",
		License:        "Apache-2.0",
		Repository:     repository,
		Version:        version,
		MetadataInfo:   tfbridge.NewProviderMetadata([]byte("{}")),
	}
	info.Resources = withOwnIDs(info.P)
	info.MustComputeTokens(tfbridge.Strategy{
		Resource: func(name string, resource *tfbridge.ResourceInfo) error {
			module, member := placed(name)
			resource.Tok = tfbridge.MakeResource(packageName, module, member)
			return nil
		},
		DataSource: func(name string, source *tfbridge.DataSourceInfo) error {
			module, member := placed(name)
			source.Tok = tfbridge.MakeDataSource(packageName, module, "get"+member)
			return nil
		},
	})
	const longestName = 255 // as the official plugin has it
	info.SetAutonaming(longestName, "-")
	return info
}

// withOwnIDs names the `id` of resources for which the program chooses it: Pulumi has a meaning of its own for `id`.
func withOwnIDs(described shim.Provider) map[string]*tfbridge.ResourceInfo {
	resources := map[string]*tfbridge.ResourceInfo{}
	described.ResourcesMap().Range(func(name string, resource shim.Resource) bool {
		id, found := resource.Schema().GetOk("id")
		if !found || !(id.Required() || id.Optional()) {
			return true
		}
		own := "resourceId"
		if name == "proxmox_sdn_controller_evpn" {
			own = "sdnControllerEvpnId" // the official plugin leaves this one to the bridge's rules
		}
		resources[name] = &tfbridge.ResourceInfo{
			Fields:    map[string]*tfbridge.SchemaInfo{"id": {Name: own, Type: "string"}},
			ComputeID: tfbridge.DelegateIDField(engine.PropertyKey(own), packageName, repository),
		}
		return true
	})
	return resources
}

// placed gives module and name in Pulumi: all words but the last are the module, and what still has the long old
// prefix is `Legacy`. proxmox_download_file is File in download; proxmox_virtual_environment_vm is VmLegacy in index.
func placed(name string) (module string, member string) {
	short, legacy := strings.CutPrefix(name, "proxmox_virtual_environment_")
	if !legacy {
		short = strings.TrimPrefix(name, "proxmox_")
	}
	words := strings.Split(short, "_")
	last := words[len(words)-1]
	member = strings.ToUpper(last[:1]) + last[1:]
	if legacy {
		member += "Legacy"
	}
	if len(words) == 1 {
		return "index", member
	}
	return strings.Join(words[:len(words)-1], "/"), member
}

// shareOut notes which of the two halves of the Terraform provider answers for which resource.
func shareOut(info tfbridge.ProviderInfo) error {
	halves, ok := info.P.(interface {
		ResolveDispatch(*tfbridge.ProviderInfo) (muxer.DispatchTable, error)
	})
	if !ok {
		return fmt.Errorf("the bridge does not mux %T", info.P)
	}
	table, err := halves.ResolveDispatch(&info)
	if err != nil {
		return err
	}
	return metadata.Set(info.GetMetadata(), "mux", table)
}

// packageSchema is the Pulumi schema of the provider, as JSON. It is made at each start, so that it cannot
// disagree with the provider that it describes.
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
