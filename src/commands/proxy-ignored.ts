/*
 * What kube-proxy is told that means nothing here, and why not. A field of its configuration file has a dot or none; a flag
 * begins with --. The table in README.md says the same; a test compares.
 */

const noSysctl = 'no setting of the kernel is changed: bpfsvc check tells which ones matter';
const atOnce = 'each change is applied at once; --audit-interval says how often everything is compared';
const lifetimes = 'no table of IPVS is used; flows have lifetimes of their own';
const windows = 'it is for Windows';
const oneStream = 'each line goes to standard error at once; --log-format says how';
const noRequests = 'there are four watches, in JSON, and hardly a request beside them';
const oneMode = 'there is one mode, and Services mean in it what they mean in nftables mode';
const oom = 'it is for whoever starts the agent, a unit or a pod, to set';
const noProfiling = 'there are no profiling pages';
const noHidden = 'no metric is hidden';
const gates = 'they are of kube-proxy’s code';
const localhost = 'name localhost among the nodePort addresses instead';
const foreignIpvs = 'what others put into IPVS is never touched';
const noArp = 'no Service address is put on a device';

/** By field, by flag. */
export const ignored: ReadonlyMap<string, string> = new Map(
  Object.entries({
    featureGates: gates,
    '--feature-gates': gates,
    'clientConnection.acceptContentTypes': noRequests,
    'clientConnection.contentType': noRequests,
    'clientConnection.qps': noRequests,
    'clientConnection.burst': noRequests,
    '--kube-api-content-type': noRequests,
    '--kube-api-qps': noRequests,
    '--kube-api-burst': noRequests,
    'logging.flushFrequency': oneStream,
    'logging.vmodule': oneStream,
    'logging.options.text.splitStream': oneStream,
    'logging.options.text.infoBufferSize': oneStream,
    'logging.options.json.splitStream': oneStream,
    'logging.options.json.infoBufferSize': oneStream,
    '--vmodule': oneStream,
    '--log-flush-frequency': oneStream,
    '--log-text-split-stream': oneStream,
    '--log-text-info-buffer-size': oneStream,
    '--log-json-split-stream': oneStream,
    '--log-json-info-buffer-size': oneStream,
    '--logtostderr': oneStream,
    '--alsologtostderr': oneStream,
    '--stderrthreshold': oneStream,
    '--log-dir': oneStream,
    '--log-file': oneStream,
    '--log-file-max-size': oneStream,
    '--log-backtrace-at': oneStream,
    '--add-dir-header': oneStream,
    '--one-output': oneStream,
    '--skip-headers': oneStream,
    '--skip-log-headers': oneStream,
    enableProfiling: noProfiling,
    '--profiling': noProfiling,
    showHiddenMetricsForVersion: noHidden,
    '--show-hidden-metrics-for-version': noHidden,
    mode: oneMode,
    '--proxy-mode': oneMode,
    'iptables.localhostNodePorts': localhost,
    '--iptables-localhost-nodeports': localhost,
    'iptables.snatNodeInternalIP': 'a source that is replaced becomes that of the route to the backend',
    'iptables.syncPeriod': atOnce,
    'iptables.minSyncPeriod': atOnce,
    'ipvs.syncPeriod': atOnce,
    'ipvs.minSyncPeriod': atOnce,
    'nftables.syncPeriod': atOnce,
    'nftables.minSyncPeriod': atOnce,
    configSyncPeriod: atOnce,
    '--iptables-sync-period': atOnce,
    '--iptables-min-sync-period': atOnce,
    '--ipvs-sync-period': atOnce,
    '--ipvs-min-sync-period': atOnce,
    '--config-sync-period': atOnce,
    'ipvs.excludeCIDRs': foreignIpvs,
    '--ipvs-exclude-cidrs': foreignIpvs,
    'ipvs.strictARP': noArp,
    '--ipvs-strict-arp': noArp,
    'ipvs.tcpTimeout': lifetimes,
    'ipvs.tcpFinTimeout': lifetimes,
    'ipvs.udpTimeout': lifetimes,
    '--ipvs-tcp-timeout': lifetimes,
    '--ipvs-tcpfin-timeout': lifetimes,
    '--ipvs-udp-timeout': lifetimes,
    oomScoreAdj: oom,
    '--oom-score-adj': oom,
    'conntrack.maxPerCore': noSysctl,
    'conntrack.min': noSysctl,
    'conntrack.tcpEstablishedTimeout': noSysctl,
    'conntrack.tcpCloseWaitTimeout': noSysctl,
    'conntrack.tcpBeLiberal': noSysctl,
    'conntrack.udpTimeout': noSysctl,
    'conntrack.udpStreamTimeout': noSysctl,
    '--conntrack-max-per-core': noSysctl,
    '--conntrack-min': noSysctl,
    '--conntrack-tcp-timeout-established': noSysctl,
    '--conntrack-tcp-timeout-close-wait': noSysctl,
    '--conntrack-tcp-be-liberal': noSysctl,
    '--conntrack-udp-timeout': noSysctl,
    '--conntrack-udp-timeout-stream': noSysctl,
    portRange: 'kube-proxy has no use for it any more either',
    'winkernel.networkName': windows,
    'winkernel.sourceVip': windows,
    'winkernel.enableDSR': windows,
    'winkernel.rootHnsEndpointName': windows,
    'winkernel.forwardHealthCheckVip': windows,
    windowsRunAsService: windows,
    '--network-name': windows,
    '--source-vip': windows,
    '--enable-dsr': windows,
    '--root-hnsendpoint-name': windows,
    '--forward-healthcheck-vip': windows,
    '--windows-service': windows,
  }),
);

/** Flags of kube-proxy that make it do something else than run; to run instead would be worse than to refuse. */
export const refused: ReadonlyMap<string, string> = new Map([
  ['--init-only', 'there is nothing to do before the agent starts: leave that step out'],
  ['--write-config-to', 'bpfsvc run --help lists the defaults'],
]);
