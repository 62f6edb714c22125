//! Names of well-known DCE/RPC interfaces and of their procedures, by UUID and operation number.
//!
//! Facts of the published interface definitions (MS-SCMR, MS-SAMR, MS-LSAD, MS-NRPC, MS-RRP, MS-DRSR, MS-EFSR, …) and
//! of the common analysers; those that administration, malware and lateral movement use. Others stay numbers.

/// An interface: UUID, name, procedures by number.
pub struct Known {
    /// In text.
    pub uuid: &'static str,
    /// Name.
    pub service: &'static str,
    /// Number and name.
    pub procedures: &'static [(u16, &'static str)],
}

/// The interface of a UUID in text.
pub fn known(uuid: &str) -> Option<&'static Known> {
    KNOWN.iter().find(|k| k.uuid == uuid)
}

/// The name of a procedure.
pub fn procedure(known: &Known, number: u16) -> Option<&'static str> {
    known.procedures.iter().find(|(n, _)| *n == number).map(|(_, name)| *name)
}

static KNOWN: &[Known] = &[
    Known {
        uuid: "1ff70682-0a51-30e8-076d-740be8cee98b",
        service: "atsvc",
        procedures: &[(0, "NetrJobAdd"), (1, "NetrJobDel"), (2, "NetrJobEnum"), (3, "NetrJobGetInfo")],
    },
    Known {
        uuid: "3dde7c30-165d-11d1-ab8f-00805f14db40",
        service: "BackupKey",
        procedures: &[(0, "bkrp_BackupKey")],
    },
    Known {
        uuid: "6bffd098-a112-3610-9833-012892020162",
        service: "browser",
        procedures: &[(0, "BrowserrServerEnum"), (1, "BrowserrDebugCall"), (2, "BrowserrQueryOtherDomains"), (3, "BrowserrResetNetlogonState"), (4, "BrowserrDebugTrace"), (5, "BrowserrQueryStatistics"), (6, "BrowserrResetStatistics"), (7, "NetrBrowserStatisticsClear"), (8, "NetrBrowserStatisticsGet"), (9, "BrowserrSetNetlogonState"), (10, "BrowserrQueryEmulatedDomains"), (11, "BrowserrServerEnumEx")],
    },
    Known {
        uuid: "50abc2a4-574d-40b3-9d66-ee4fd5fba076",
        service: "dnsserver",
        procedures: &[(0, "DnssrvOperation"), (1, "DnssrvQuery"), (2, "DnssrvComplexOperation"), (3, "DnssrvEnumRecords"), (4, "DnssrvUpdateRecord"), (5, "DnssrvOperation2"), (6, "DnssrvQuery2"), (7, "DnssrvComplexOperation2"), (8, "DnssrvEnumRecords2"), (9, "DnssrvUpdateRecord2"), (10, "DnssrvUpdateRecord3"), (11, "DnssrvEnumRecords3"), (12, "DnssrvOperation3"), (13, "DnssrvQuery3"), (14, "DnssrvComplexOperation3"), (15, "DnssrvOperation4"), (16, "DnssrvQuery4"), (17, "DnssrvUpdateRecord4"), (18, "DnssrvEnumRecords4")],
    },
    Known {
        uuid: "e3514235-4b06-11d1-ab04-00c04fc2dcd2",
        service: "drsuapi",
        procedures: &[(0, "DRSBind"), (1, "DRSUnbind"), (2, "DRSReplicaSync"), (3, "DRSGetNCChanges"), (4, "DRSUpdateRefs"), (5, "DRSReplicaAdd"), (6, "DRSReplicaDel"), (7, "DRSReplicaModify"), (8, "DRSVerifyNames"), (9, "DRSGetMemberships"), (10, "DRSInterDomainMove"), (11, "DRSGetNT4ChangeLog"), (12, "DRSCrackNames"), (13, "DRSWriteSPN"), (14, "DRSRemoveDsServer"), (15, "DRSRemoveDsDomain"), (16, "DRSDomainControllerInfo"), (17, "DRSAddEntry"), (18, "DRSExecuteKCC"), (19, "DRSGetReplInfo"), (20, "DRSAddSidHistory"), (21, "DRSGetMemberships2"), (22, "DRSReplicaVerifyObjects"), (23, "DRSGetObjectExistence"), (24, "DRSQuerySitesByCost"), (25, "IDL_DRSInitDemotion"), (26, "IDL_DRSReplicaDemotion"), (27, "IDL_DRSFinishDemotion"), (28, "IDL_DRSAddCloneDC"), (29, "IDL_DRSWriteNgcKey"), (30, "IDL_DRSReadNgcKey")],
    },
    Known {
        uuid: "7c44d7d4-31d5-424c-bd5e-2b3e1f323d22",
        service: "dsaop",
        procedures: &[(0, "IDL_DSAPrepareScript"), (1, "IDL_DSAExecuteScript")],
    },
    Known {
        uuid: "3919286a-b10c-11d0-9ba8-00c04fd92ef5",
        service: "dssetup",
        procedures: &[(0, "DsRolerGetPrimaryDomainInformation"), (1, "DsRolerDnsNameToFlatName"), (2, "DsRolerDcAsDc"), (3, "DsRolerDcAsReplica"), (4, "DsRolerDemoteDc"), (5, "DsRolerGetDcOperationProgress"), (6, "DsRolerGetDcOperationResults"), (7, "DsRolerCancel"), (8, "DsRolerServerSaveStateForUpgrade"), (9, "DsRolerUpgradeDownlevelServer"), (10, "DsRolerAbortDownlevelServerUpgrade")],
    },
    Known {
        uuid: "df1941c5-fe89-4e79-bf10-463657acf44d",
        service: "efsrpc",
        procedures: &[(0, "EfsRpcOpenFileRaw"), (1, "EfsRpcReadFileRaw"), (2, "EfsRpcWriteFileRaw"), (3, "EfsRpcCloseRaw"), (4, "EfsRpcEncryptFileSrv"), (5, "EfsDecryptFileSrv"), (6, "EfsRpcQueryUsersOnFile"), (7, "EfsRpcQueryRecoveryAgents"), (8, "EfsRpcRemoveUsersFromFile"), (9, "EfsRpcAddUsersToFile"), (11, "EfsRpcNotSupported"), (12, "EfsRpcFileKeyInfo"), (13, "EfsRpcDuplicateEncryptionInfoFile"), (15, "EfsRpcAddUsersToFileEx"), (16, "EfsRpcFileKeyInfoEx"), (18, "EfsRpcGetEncryptedFileMetadata"), (19, "EfsRpcSetEncryptedFileMetadata"), (20, "EfsRpcFlushEfsCache"), (21, "EfsRpcEncryptFileExServ"), (22, "EfsRpcQueryProtectors")],
    },
    Known {
        uuid: "c681d488-d850-11d0-8c52-00c04fd90f7e",
        service: "efsrpc2",
        procedures: &[(0, "EfsRpcOpenFileRaw"), (1, "EfsRpcReadFileRaw"), (2, "EfsRpcWriteFileRaw"), (3, "EfsRpcCloseRaw"), (4, "EfsRpcEncryptFileSrv"), (5, "EfsDecryptFileSrv"), (6, "EfsRpcQueryUsersOnFile"), (7, "EfsRpcQueryRecoveryAgents"), (8, "EfsRpcRemoveUsersFromFile"), (9, "EfsRpcAddUsersToFile"), (11, "EfsRpcNotSupported"), (12, "EfsRpcFileKeyInfo"), (13, "EfsRpcDuplicateEncryptionInfoFile"), (15, "EfsRpcAddUsersToFileEx"), (16, "EfsRpcFileKeyInfoEx"), (18, "EfsRpcGetEncryptedFileMetadata"), (19, "EfsRpcSetEncryptedFileMetadata"), (20, "EfsRpcFlushEfsCache"), (21, "EfsRpcEncryptFileExServ"), (22, "EfsRpcQueryProtectors")],
    },
    Known {
        uuid: "e1af8308-5d1f-11c9-91a4-08002b14a0fa",
        service: "epmapper",
        procedures: &[(0, "ept_insert"), (1, "ept_delete"), (2, "ept_lookup"), (3, "ept_map"), (4, "ept_lookup_handle_free"), (5, "ept_inq_object"), (6, "ept_mgmt_delete"), (7, "ept_map_auth"), (8, "ept_map_auth_async")],
    },
    Known {
        uuid: "82273fdc-e32a-18c3-3f78-827929dc23ea",
        service: "eventlog",
        procedures: &[(0, "ElfrClearELFW"), (1, "ElfrBackupELFW"), (2, "ElfrCloseEL"), (3, "ElfrDeregisterEventSource"), (4, "ElfrNumberOfRecords"), (5, "ElfrOldestRecord"), (6, "ElfrChangeNotify"), (7, "ElfrOpenELW"), (8, "ElfrRegisterEventSourceW"), (9, "ElfrOpenBELW"), (10, "ElfrReadELW"), (11, "ElfrReportEventW"), (12, "ElfrClearELFA"), (13, "ElfrBackupELFA"), (14, "ElfrOpenELA"), (15, "ElfrRegisterEventSourceA"), (16, "ElfrOpenBELA"), (17, "ElfrReadELA"), (18, "ElfrReportEventA"), (19, "ElfrRegisterClusterSvc"), (20, "ElfrDeregisterClusterSvc"), (21, "ElfrWriteClusterEvents"), (22, "ElfrGetLogInformation"), (23, "ElfrFlushEL"), (24, "ElfrReportEventAndSourceW"), (25, "ElfrReportEventExW"), (26, "ElfrReportEventExA")],
    },
    Known {
        uuid: "a8e0653c-2744-4389-a61d-7373df8b2292",
        service: "FileServerVssAgent",
        procedures: &[(0, "GetSupportedVersion"), (1, "SetContext"), (2, "StartShadowCopySet"), (3, "AddToShadowCopySet"), (4, "CommitShadowCopySet"), (5, "ExposeShadowCopySet"), (6, "RecoveryCompleteShadowCopySet"), (7, "AbortShadowCopySet"), (8, "IsPathSupported"), (9, "IsPathShadowCopied"), (10, "GetShareMapping"), (11, "DeleteShareMapping"), (12, "PrepareShadowCopy")],
    },
    Known {
        uuid: "4d9f4ab8-7d1c-11cf-861e-0020af6e7c57",
        service: "IActivation",
        procedures: &[(0, "RemoteActivation")],
    },
    Known {
        uuid: "91ae6020-9e3c-11cf-8d7c-00aa00c091be",
        service: "ICertPassage",
        procedures: &[(0, "CertServerRequest")],
    },
    Known {
        uuid: "00020400-0000-0000-c000-000000000046",
        service: "IDispatch",
        procedures: &[(3, "GetTypeInfoCount"), (4, "GetTypeInfo"), (5, "GetIDsOfNames"), (6, "Invoke")],
    },
    Known {
        uuid: "894de0c0-0d55-11d3-a322-00c04fa321a1",
        service: "InitShutdown",
        procedures: &[(0, "BaseInitiateShutdown"), (1, "BaseAbortShutdown"), (2, "BaseInitiateShutdownEx")],
    },
    Known {
        uuid: "99fcfec4-5260-101b-bbcb-00aa0021347a",
        service: "IObjectExporter",
        procedures: &[(0, "ResolveOxid"), (1, "SimplePing"), (2, "ComplexPing"), (3, "ServerAlive"), (4, "ResolveOxid2"), (5, "ServerAlive2")],
    },
    Known {
        uuid: "000001a0-0000-0000-c000-000000000046",
        service: "IRemoteSCMActivator",
        procedures: &[(0, "QueryInterfaceIRemoteSCMActivator"), (1, "AddRefIRemoteISCMActivator"), (2, "ReleaseIRemoteISCMActivator"), (3, "RemoteGetClassObject"), (4, "RemoteCreateInstance")],
    },
    Known {
        uuid: "76f03f96-cdfd-44fc-a22c-64950a001209",
        service: "IRemoteWinspool",
        procedures: &[(0, "RpcAsyncOpenPrinter"), (1, "RpcAsyncAddPrinter"), (2, "RpcAsyncSetJob"), (3, "RpcAsyncGetJob"), (4, "RpcAsyncEnumJobs"), (5, "RpcAsyncAddJob"), (6, "RpcAsyncScheduleJob"), (7, "RpcAsyncDeletePrinter"), (8, "RpcAsyncSetPrinter"), (9, "RpcAsyncGetPrinter"), (10, "RpcAsyncStartDocPrinter"), (11, "RpcAsyncStartPagePrinter"), (12, "RpcAsyncWritePrinter"), (13, "RpcAsyncEndPagePrinter"), (14, "RpcAsyncEndDocPrinter"), (15, "RpcAsyncAbortPrinter"), (16, "RpcAsyncGetPrinterData"), (17, "RpcAsyncGetPrinterDataEx"), (18, "RpcAsyncSetPrinterData"), (19, "RpcAsyncSetPrinterDataEx"), (20, "RpcAsyncClosePrinter"), (21, "RpcAsyncAddForm"), (22, "RpcAsyncDeleteForm"), (23, "RpcAsyncGetForm"), (24, "RpcAsyncSetForm"), (25, "RpcAsyncEnumForms"), (26, "RpcAsyncGetPrinterDriver"), (27, "RpcAsyncEnumPrinterData"), (28, "RpcAsyncEnumPrinterDataEx"), (29, "RpcAsyncEnumPrinterKey"), (30, "RpcAsyncDeletePrinterData"), (31, "RpcAsyncDeletePrinterDataEx"), (32, "RpcAsyncDeletePrinterKey"), (33, "RpcAsyncXcvData"), (34, "RpcAsyncSendRecvBidiData"), (35, "RpcAsyncCreatePrinterIC"), (36, "RpcAsyncPlayGdiScriptOnPrinterIC"), (37, "RpcAsyncDeletePrinterIC"), (38, "RpcAsyncEnumPrinters"), (39, "RpcAsyncAddPrinterDriver"), (40, "RpcAsyncEnumPrinterDrivers"), (41, "RpcAsyncGetPrinterDriverDirectory"), (42, "RpcAsyncDeletePrinterDriver"), (43, "RpcAsyncDeletePrinterDriverEx"), (44, "RpcAsyncAddPrintProcessor"), (45, "RpcAsyncEnumPrintProcessors"), (46, "RpcAsyncGetPrintProcessorDirectory"), (47, "RpcAsyncEnumPorts"), (48, "RpcAsyncEnumMonitors"), (49, "RpcAsyncAddPort"), (50, "RpcAsyncSetPort"), (51, "RpcAsyncAddMonitor"), (52, "RpcAsyncDeleteMonitor"), (53, "RpcAsyncDeletePrintProcessor"), (54, "RpcAsyncEnumPrintProcessorDatatypes"), (55, "RpcAsyncAddPerMachineConnection"), (56, "RpcAsyncDeletePerMachineConnection"), (57, "RpcAsyncEnumPerMachineConnections"), (58, "RpcSyncRegisterForRemoteNotifications"), (59, "RpcSyncUnRegisterForRemoteNotifications"), (60, "RpcSyncRefreshRemoteNotifications"), (61, "RpcAsyncGetRemoteNotifications"), (62, "RpcAsyncInstallPrinterDriverFromPackage"), (63, "RpcAsyncUploadPrinterDriverPackage"), (64, "RpcAsyncGetCorePrinterDrivers"), (65, "RpcAsyncCorePrinterDriverInstalled"), (66, "RpcAsyncGetPrinterDriverPackagePath"), (67, "RpcAsyncDeletePrinterDriverPackage"), (68, "RpcAsyncReadPrinter"), (69, "RpcAsyncResetPrinter"), (70, "RpcAsyncGetJobNamedPropertyValue"), (71, "RpcAsyncSetJobNamedProperty"), (72, "RpcAsyncDeleteJobNamedProperty"), (73, "RpcAsyncEnumJobNamedProperties"), (74, "RpcAsyncLogJobInfoForBranchOffice")],
    },
    Known {
        uuid: "00000131-0000-0000-c000-000000000046",
        service: "IRemUnknown",
        procedures: &[(3, "RemQueryInterface"), (4, "RemAddRef"), (5, "RemRelease")],
    },
    Known {
        uuid: "00000143-0000-0000-c000-000000000046",
        service: "IRemUnknown2",
        procedures: &[(0, "QueryInterface"), (1, "AddRef"), (2, "Release"), (3, "RemQueryInterface"), (4, "RemAddRef"), (5, "RemRelease"), (6, "RemQueryInterface2")],
    },
    Known {
        uuid: "12b81e99-f207-4a4c-85d3-77b42f76fd14",
        service: "ISeclogon",
        procedures: &[(0, "SeclCreateProcessWithLogonW"), (1, "SeclCreateProcessWithLogonExW")],
    },
    Known {
        uuid: "86d35949-83c9-4044-b424-db363231fd0c",
        service: "ITaskSchedulerService",
        procedures: &[(0, "SchRpcHighestVersion"), (1, "SchRpcRegisterTask"), (2, "SchRpcRetrieveTask"), (3, "SchRpcCreateFolder"), (4, "SchRpcSetSecurity"), (5, "SchRpcGetSecurity"), (6, "SchRpcEnumFolder"), (7, "SchRpcEnumTasks"), (8, "SchRpcEnumInstances"), (9, "SchRpcGetInstanceInfo"), (10, "SchRpcStopInstance"), (11, "SchRpcStop"), (12, "SchRpcRun"), (13, "SchRpcDelete"), (14, "SchRpcRename"), (15, "SchRpcScheduledRuntimes"), (16, "SchRpcGetLastRunInfo"), (17, "SchRpcGetTaskInfo"), (18, "SchRpcGetNumberOfMissedRuns"), (19, "SchRpcEnableTask")],
    },
    Known {
        uuid: "00000000-0000-0000-c000-000000000046",
        service: "IUnknown",
        procedures: &[],
    },
    Known {
        uuid: "f309ad18-d86a-11d0-a075-00c04fb68820",
        service: "IWbemLevel1Login",
        procedures: &[(3, "EstablishPosition"), (4, "RequestChallenge"), (5, "WBEMLogin"), (6, "NTLMLogin")],
    },
    Known {
        uuid: "9556dc99-828c-11cf-a37e-00aa003240c7",
        service: "IWbemServices",
        procedures: &[(3, "OpenNamespace"), (4, "CancelAsyncCall"), (5, "QueryObjectSink"), (6, "GetObject"), (7, "GetObjectAsync"), (8, "PutClass"), (9, "PutClassAsync"), (10, "DeleteClass"), (11, "DeleteClassAsync"), (12, "CreateClassEnum"), (13, "CreateClassEnumAsync"), (14, "PutInstance"), (15, "PutInstanceAsync"), (16, "DeleteClass"), (17, "DeleteClassAsync"), (18, "CreateInstanceEnum"), (19, "CreateInstanceEnumAsync"), (20, "ExecQuery"), (21, "ExecQueryAsync"), (22, "ExecNotificationQuery"), (23, "ExecNotificationQueryAsync"), (24, "ExecMethod"), (25, "ExecMethodAsync")],
    },
    Known {
        uuid: "12345778-1234-abcd-ef00-0123456789ab",
        service: "lsarpc",
        procedures: &[(0, "LsarClose"), (1, "LsarDelete"), (2, "LsarEnumeratePrivileges"), (3, "LsarQuerySecurityObject"), (4, "LsarSetSecurityObject"), (5, "LsarChangePassword"), (6, "LsarOpenPolicy"), (7, "LsarQueryInformationPolicy"), (8, "LsarSetInformationPolicy"), (9, "LsarClearAuditLog"), (10, "LsarCreateAccount"), (11, "LsarEnumerateAccounts"), (12, "LsarCreateTrustedDomain"), (13, "LsarEnumerateTrustedDomains"), (14, "LsarLookupNames"), (15, "LsarLookupSids"), (16, "LsarCreateSecret"), (17, "LsarOpenAccount"), (18, "LsarEnumeratePrivilegesAccount"), (19, "LsarAddPrivilegesToAccount"), (20, "LsarRemovePrivilegesFromAccount"), (21, "LsarGetQuotasForAccount"), (22, "LsarSetQuotasForAccount"), (23, "LsarGetSystemAccessAccount"), (24, "LsarSetSystemAccessAccount"), (25, "LsarOpenTrustedDomain"), (26, "LsarQueryInfoTrustedDomain"), (27, "LsarSetInformationTrustedDomain"), (28, "LsarOpenSecret"), (29, "LsarSetSecret"), (30, "LsarQuerySecret"), (31, "LsarLookupPrivilegeValue"), (32, "LsarLookupPrivilegeName"), (33, "LsarLookupPrivilegeDisplayName"), (34, "LsarDeleteObject"), (35, "LsarEnumerateAccountsWithUserRight"), (36, "LsarEnumerateAccountRights"), (37, "LsarAddAccountRights"), (38, "LsarRemoveAccountRights"), (39, "LsarQueryTrustedDomainInfo"), (40, "LsarSetTrustedDomainInfo"), (41, "LsarDeleteTrustedDomain"), (42, "LsarStorePrivateData"), (43, "LsarRetrievePrivateData"), (44, "LsarOpenPolicy2"), (45, "LsarGetUserName"), (46, "LsarQueryInformationPolicy2"), (47, "LsarSetInformationPolicy2"), (48, "LsarQueryTrustedDomainInfoByName"), (49, "LsarSetTrustedDomainInfoByName"), (50, "LsarEnumerateTrustedDomainsEx"), (51, "LsarCreateTrustedDomainEx"), (52, "LsarCloseTrustedDomainEx"), (53, "LsarQueryDomainInformationPolicy"), (54, "LsarSetDomainInformationPolicy"), (55, "LsarOpenTrustedDomainByName"), (56, "LsarTestCall"), (57, "LsarLookupSids2"), (58, "LsarLookupNames2"), (59, "LsarCreateTrustedDomainEx2"), (60, "CredrWrite"), (61, "CredrRead"), (62, "CredrEnumerate"), (63, "CredrWriteDomainCredentials"), (64, "CredrReadDomainCredentials"), (65, "CredrDelete"), (66, "CredrGetTargetInfo"), (67, "CredrProfileLoaded"), (68, "LsarLookupNames3"), (69, "CredrGetSessionTypes"), (70, "LsarRegisterAuditEvent"), (71, "LsarGenAuditEvent"), (72, "LsarUnregisterAuditEvent"), (73, "LsarQueryForestTrustInformation"), (74, "LsarSetForestTrustInformation"), (75, "CredrRename"), (76, "LsarLookupSids3"), (77, "LsarLookupNames4"), (78, "LsarOpenPolicySce"), (79, "LsarAdtRegisterSecurityEventSource"), (80, "LsarAdtUnregisterSecurityEventSource"), (81, "LsarAdtReportSecurityEvent"), (82, "CredrFindBestCredential"), (83, "LsarSetAuditPolicy"), (84, "LsarQueryAuditPolicy"), (85, "LsarEnumerateAuditPolicy"), (86, "LsarEnumerateAuditCategories"), (87, "LsarEnumerateAuditSubCategories"), (88, "LsarLookupAuditCategoryName"), (89, "LsarLookupAuditSubCategoryName"), (90, "LsarSetAuditSecurity"), (91, "LsarQueryAuditSecurity"), (92, "CredReadByTokenHandle"), (93, "CredrRestoreCredentials"), (94, "CredrBackupCredentials"), (129, "LsarCreateTrustedDomainEx3"), (130, "LsarOpenPolicy3"), (133, "LsarSetForestTrustInformation2")],
    },
    Known {
        uuid: "afa8bd80-7d8a-11c9-bef4-08002b102989",
        service: "mgmt",
        procedures: &[(0, "inq_if_ids"), (1, "inq_stats"), (2, "is_server_listening"), (3, "stop_server_listening"), (4, "inq_princ_name")],
    },
    Known {
        uuid: "17fdd703-1827-4e34-79d4-24a55c53bb37",
        service: "msgsvc",
        procedures: &[(0, "NetrMessageNameAdd"), (1, "NetrMessageNameEnum"), (2, "NetrMessageNameGetInfo"), (3, "NetrMessageNameDel")],
    },
    Known {
        uuid: "4fc742e0-4a10-11cf-8273-00aa004ae673",
        service: "netdfs",
        procedures: &[(0, "NetrDfsManagerGetVersion"), (1, "NetrDfsAdd"), (2, "NetrDfsRemove"), (3, "NetrDfsSetInfo"), (4, "NetrDfsGetInfo"), (5, "NetrDfsEnum"), (6, "NetrDfsRename"), (7, "NetrDfsMove"), (8, "NetrDfsManagerGetConfigInfo"), (9, "NetrDfsManagerSendSiteInfo"), (10, "NetrDfsAddFtRoot"), (11, "NetrDfsRemoveFtRoot"), (12, "NetrDfsAddStdRoot"), (13, "NetrDfsRemoveStdRoot"), (14, "NetrDfsManagerInitialize"), (15, "NetrDfsAddStdRootForced"), (16, "NetrDfsGetDcAddress"), (17, "NetrDfsSetDcAddress"), (18, "NetrDfsFlushFtTable"), (19, "NetrDfsAdd2"), (20, "NetrDfsRemove2"), (21, "NetrDfsEnumEx"), (22, "NetrDfsSetInfo2"), (23, "NetrDfsAddRootTarget"), (24, "NetrDfsRemoveRootTarget"), (25, "NetrDfsGetSupportedNamespaceVersion")],
    },
    Known {
        uuid: "12345678-1234-abcd-ef00-01234567cffb",
        service: "netlogon",
        procedures: &[(0, "NetrLogonUasLogon"), (1, "NetrLogonUasLogoff"), (2, "NetrLogonSamLogon"), (3, "NetrLogonSamLogoff"), (4, "NetrServerReqChallenge"), (5, "NetrServerAuthenticate"), (6, "NetrServerPasswordSet"), (7, "NetrDatabaseDeltas"), (8, "NetrDatabaseSync"), (9, "NetrAccountDeltas"), (10, "NetrAccountSync"), (11, "NetrGetDCName"), (12, "NetrLogonControl"), (13, "NetrGetAnyDCName"), (14, "NetrLogonControl2"), (15, "NetrServerAuthenticate2"), (16, "NetrDatabaseSync2"), (17, "NetrDatabaseRedo"), (18, "NetrLogonControl2Ex"), (19, "NetrEnumerateTrustedDomains"), (20, "DsrGetDcName"), (21, "NetrLogonGetCapabilities"), (22, "NetrLogonSetServiceBits"), (23, "NetrLogonGetTrustRid"), (24, "NetrLogonComputeServerDigest"), (25, "NetrLogonComputeClientDigest"), (26, "NetrServerAuthenticate3"), (27, "DsrGetDcNameEx"), (28, "DsrGetSiteName"), (29, "NetrLogonGetDomainInfo"), (30, "NetrServerPasswordSet2"), (31, "NetrServerPasswordGet"), (32, "NetrLogonSendToSam"), (33, "DsrAddressToSiteNamesW"), (34, "DsrGetDcNameEx2"), (35, "NetrLogonGetTimeServiceParentDomain"), (36, "NetrEnumerateTrustedDomainsEx"), (37, "DsrAddressToSiteNamesExW"), (38, "DsrGetDcSiteCoverageW"), (39, "NetrLogonSamLogonEx"), (40, "DsrEnumerateDomainTrusts"), (41, "DsrDeregisterDnsHostRecords"), (42, "NetrServerTrustPasswordsGet"), (43, "DsrGetForestTrustInformation"), (44, "NetrGetForestTrustInformation"), (45, "NetrLogonSamLogonWithFlags"), (46, "NetrServerGetTrustInfo"), (47, "unused"), (48, "DsrUpdateReadOnlyServerDnsRecords"), (49, "NetrChainSetClientAttributes")],
    },
    Known {
        uuid: "f5cc5a18-4264-101a-8c59-08002b2f8426",
        service: "nspi",
        procedures: &[(0, "NspiBind"), (1, "NspiUnbind"), (2, "NspiUpdateStat"), (3, "NspiQueryRows"), (4, "NspiSeekEntries"), (5, "NspiGetMatches"), (6, "NspiResortRestriction"), (7, "NspiDNToEph"), (8, "NspiGetPropList"), (9, "NspiGetProps"), (10, "NspiCompareMIds"), (11, "NspiModProps"), (12, "NspiGetSpecialTable"), (13, "NspiGetTemplateInfo"), (14, "NspiModLinkAtt"), (16, "NspiQueryColumns"), (17, "NspiGetNamesFromIDs"), (18, "NspiGetIDsFromNames"), (19, "NspiResolveNames"), (20, "NspiResolveNamesW")],
    },
    Known {
        uuid: "12345778-1234-abcd-ef00-0123456789ac",
        service: "samr",
        procedures: &[(0, "SamrConnect"), (1, "SamrCloseHandle"), (2, "SamrSetSecurityObject"), (3, "SamrQuerySecurityObject"), (4, "SamrShutdownSamServer"), (5, "SamrLookupDomainInSamServer"), (6, "SamrEnumerateDomainsInSamServer"), (7, "SamrOpenDomain"), (8, "SamrQueryInformationDomain"), (9, "SamrSetInformationDomain"), (10, "SamrCreateGroupInDomain"), (11, "SamrEnumerateGroupsInDomain"), (12, "SamrCreateUserInDomain"), (13, "SamrEnumerateUsersInDomain"), (14, "SamrCreateAliasInDomain"), (15, "SamrEnumerateAliasesInDomain"), (16, "SamrGetAliasMembership"), (17, "SamrLookupNamesInDomain"), (18, "SamrLookupIdsInDomain"), (19, "SamrOpenGroup"), (20, "SamrQueryInformationGroup"), (21, "SamrSetInformationGroup"), (22, "SamrAddMemberToGroup"), (23, "SamrDeleteGroup"), (24, "SamrRemoveMemberFromGroup"), (25, "SamrGetMembersInGroup"), (26, "SamrSetMemberAttributesOfGroup"), (27, "SamrOpenAlias"), (28, "SamrQueryInformationAlias"), (29, "SamrSetInformationAlias"), (30, "SamrDeleteAlias"), (31, "SamrAddMemberToAlias"), (32, "SamrRemoveMemberFromAlias"), (33, "SamrGetMembersInAlias"), (34, "SamrOpenUser"), (35, "SamrDeleteUser"), (36, "SamrQueryInformationUser"), (37, "SamrSetInformationUser"), (38, "SamrChangePasswordUser"), (39, "SamrGetGroupsForUser"), (40, "SamrQueryDisplayInformation"), (41, "SamrGetDisplayEnumerationIndex"), (42, "SamrTestPrivateFunctionsDomain"), (43, "SamrTestPrivateFunctionsUser"), (44, "SamrGetUserDomainPasswordInformation"), (45, "SamrRemoveMemberFromForeignDomain"), (46, "SamrQueryInformationDomain2"), (47, "SamrQueryInformationUser2"), (48, "SamrQueryDisplayInformation2"), (49, "SamrGetDisplayEnumerationIndex2"), (50, "SamrCreateUser2InDomain"), (51, "SamrQueryDisplayInformation3"), (52, "SamrAddMultipleMembersToAlias"), (53, "SamrRemoveMultipleMembersFromAlias"), (54, "SamrOemChangePasswordUser2"), (55, "SamrUnicodeChangePasswordUser2"), (56, "SamrGetDomainPasswordInformation"), (57, "SamrConnect2"), (58, "SamrSetInformationUser2"), (59, "SamrSetBootKeyInformation"), (60, "SamrGetBootKeyInformation"), (61, "SamrConnect3"), (62, "SamrConnect4"), (63, "SamrUnicodeChangePasswordUser3"), (64, "SamrConnect5"), (65, "SamrRidToSid"), (66, "SamrSetDSRMPassword"), (67, "SamrValidatePassword"), (68, "SamrQueryLocalizableAccountsInDomain"), (69, "SamrPerformGenericOperation"), (73, "SamrUnicodeChangePasswordUser4")],
    },
    Known {
        uuid: "12345678-1234-abcd-ef00-0123456789ab",
        service: "spoolss",
        procedures: &[(0, "RpcEnumPrinters"), (1, "RpcOpenPrinter"), (2, "RpcSetJob"), (3, "RpcGetJob"), (4, "RpcEnumJobs"), (5, "RpcAddPrinter"), (6, "RpcDeletePrinter"), (7, "RpcSetPrinter"), (8, "RpcGetPrinter"), (9, "RpcAddPrinterDriver"), (10, "RpcEnumPrinterDrivers"), (11, "RpcGetPrinterDriver"), (12, "RpcGetPrinterDriverDirectory"), (13, "RpcDeletePrinterDriver"), (14, "RpcAddPrintProcessor"), (15, "RpcEnumPrintProcessors"), (16, "RpcGetPrintProcessorDirectory"), (17, "RpcStartDocPrinter"), (18, "RpcStartPagePrinter"), (19, "RpcWritePrinter"), (20, "RpcEndPagePrinter"), (21, "RpcAbortPrinter"), (22, "RpcReadPrinter"), (23, "RpcEndDocPrinter"), (24, "RpcAddJob"), (25, "RpcScheduleJob"), (26, "RpcGetPrinterData"), (27, "RpcSetPrinterData"), (28, "RpcWaitForPrinterChange"), (29, "RpcClosePrinter"), (30, "RpcAddForm"), (31, "RpcDeleteForm"), (32, "RpcGetForm"), (33, "RpcSetForm"), (34, "RpcEnumForms"), (35, "RpcEnumPorts"), (36, "RpcEnumMonitors"), (37, "RpcAddPort"), (38, "RpcConfigurePort"), (39, "RpcDeletePort"), (40, "RpcCreatePrinterIC"), (41, "RpcPlayGdiScriptOnPrinterIC"), (42, "RpcDeletePrinterIC"), (43, "RpcAddPrinterConnection"), (44, "RpcDeletePrinterConnection"), (45, "RpcPrinterMessageBox"), (46, "RpcAddMonitor"), (47, "RpcDeleteMonitor"), (48, "RpcDeletePrintProcessor"), (49, "RpcAddPrintProvidor"), (50, "RpcDeletePrintProvidor"), (51, "RpcEnumPrintProcessorDatatypes"), (52, "RpcResetPrinter"), (53, "RpcGetPrinterDriver2"), (54, "RpcClientFindFirstPrinterChangeNotification"), (55, "RpcFindNextPrinterChangeNotification"), (56, "RpcFindClosePrinterChangeNotification"), (57, "RpcRouterFindFirstPrinterChangeNotificationOld"), (58, "RpcReplyOpenPrinter"), (59, "RpcRouterReplyPrinter"), (60, "RpcReplyClosePrinter"), (61, "RpcAddPortEx"), (62, "RpcRemoteFindFirstPrinterChangeNotification"), (63, "RpcSpoolerInit"), (64, "RpcResetPrinterEx"), (65, "RpcRemoteFindFirstPrinterChangeNotificationEx"), (66, "RpcRouterReplyPrinterEx"), (67, "RpcRouterRefreshPrinterChangeNotification"), (68, "RpcSetAllocFailCount"), (69, "RpcSplOpenPrinter"), (70, "RpcAddPrinterEx"), (71, "RpcSetPort"), (72, "RpcEnumPrinterData"), (73, "RpcDeletePrinterData"), (74, "RpcClusterSplOpen"), (75, "RpcClusterSplClose"), (76, "RpcClusterSplIsAlive"), (77, "RpcSetPrinterDataEx"), (78, "RpcGetPrinterDataEx"), (79, "RpcEnumPrinterDataEx"), (80, "RpcEnumPrinterKey"), (81, "RpcDeletePrinterDataEx"), (82, "RpcDeletePrinterKey"), (83, "RpcSeekPrinter"), (84, "RpcDeletePrinterDriverEx"), (85, "RpcAddPerMachineConnection"), (86, "RpcDeletePerMachineConnection"), (87, "RpcEnumPerMachineConnections"), (88, "RpcXcvData"), (89, "RpcAddPrinterDriverEx"), (90, "RpcSplOpenPrinter"), (91, "RpcGetSpoolFileInfo"), (92, "RpcCommitSpoolData"), (93, "RpcCloseSpoolFileHandle"), (94, "RpcFlushPrinter"), (95, "RpcSendRecvBidiData"), (96, "RpcAddDriverCatalog"), (97, "RpcAddPrinterConnection2"), (98, "RpcDeletePrinterConnection2"), (99, "RpcInstallPrinterDriverFromPackage"), (100, "RpcUploadPrinterDriverPackage"), (101, "RpcGetCorePrinterDrivers"), (102, "RpcCorePrinterDriverInstalled"), (103, "RpcGetPrinterDriverPackagePath"), (104, "RpcReportJobProcessingProgress"), (110, "RpcGetJobNamedPropertyValue"), (111, "RpcSetJobNamedProperty"), (112, "RpcDeleteJobNamedProperty"), (113, "RpcEnumJobNamedProperties"), (116, "RpcLogJobInfoForBranchOffice")],
    },
    Known {
        uuid: "4b324fc8-1670-01d3-1278-5a47bf6ee188",
        service: "srvsvc",
        procedures: &[(0, "NetrCharDevEnum"), (1, "NetrCharDevGetInfo"), (2, "NetrCharDevControl"), (3, "NetrCharDevQEnum"), (4, "NetrCharDevQGetInfo"), (5, "NetrCharDevQSetInfo"), (6, "NetrCharDevQPurge"), (7, "NetrCharDevQPurgeSelf"), (8, "NetrConnectionEnum"), (9, "NetrFileEnum"), (10, "NetrFileGetInfo"), (11, "NetrFileClose"), (12, "NetrSessionEnum"), (13, "NetrSessionDel"), (14, "NetrShareAdd"), (15, "NetrShareEnum"), (16, "NetrShareGetInfo"), (17, "NetrShareSetInfo"), (18, "NetrShareDel"), (19, "NetrShareDelSticky"), (20, "NetrShareCheck"), (21, "NetrServerGetInfo"), (22, "NetrServerSetInfo"), (23, "NetrServerDiskEnum"), (24, "NetrServerStatisticsGet"), (25, "NetrServerTransportAdd"), (26, "NetrServerTransportEnum"), (27, "NetrServerTransportDel"), (28, "NetrRemoteTOD"), (29, "NetrServerSetServiceBits"), (30, "NetprPathType"), (31, "NetprPathCanonicalize"), (32, "NetprPathCompare"), (33, "NetprNameValidate"), (34, "NetprNameCanonicalize"), (35, "NetprNameCompare"), (36, "NetrShareEnumSticky"), (37, "NetrShareDelStart"), (38, "NetrShareDelCommit"), (39, "NetrpGetFileSecurity"), (40, "NetrpSetFileSecurity"), (41, "NetrServerTransportAddEx"), (42, "NetrServerSetServiceBitsEx"), (43, "NetrDfsGetVersion"), (44, "NetrDfsCreateLocalPartition"), (45, "NetrDfsDeleteLocalPartition"), (46, "NetrDfsSetLocalVolumeState"), (47, "NetrDfsSetServerInfo"), (48, "NetrDfsCreateExitPoint"), (49, "NetrDfsDeleteExitPoint"), (50, "NetrDfsModifyPrefix"), (51, "NetrDfsFixLocalVolume"), (52, "NetrDfsManagerReportSiteInfo"), (53, "NetrServerTransportDelEx"), (55, "NetrServerAliasEnum"), (56, "NetrServerAliasDel"), (57, "NetrShareDelEx")],
    },
    Known {
        uuid: "367abb81-9844-35f1-ad32-98f038001003",
        service: "svcctl",
        procedures: &[(0, "CloseServiceHandle"), (1, "ControlService"), (2, "DeleteService"), (3, "LockServiceDatabase"), (4, "QueryServiceObjectSecurity"), (5, "SetServiceObjectSecurity"), (6, "QueryServiceStatus"), (7, "SetServiceStatus"), (8, "UnlockServiceDatabase"), (9, "NotifyBootConfigStatus"), (10, "ScSetServiceBitsW"), (11, "ChangeServiceConfigW"), (12, "CreateServiceW"), (13, "EnumDependentServicesW"), (14, "EnumServicesStatusW"), (15, "OpenSCManagerW"), (16, "OpenServiceW"), (17, "QueryServiceConfigW"), (18, "QueryServiceLockStatusW"), (19, "StartServiceW"), (20, "GetServiceDisplayNameW"), (21, "GetServiceKeyNameW"), (22, "ScSetServiceBitsA"), (23, "ChangeServiceConfigA"), (24, "CreateServiceA"), (25, "EnumDependentServicesA"), (26, "EnumServicesStatusA"), (27, "OpenSCManagerA"), (28, "OpenServiceA"), (29, "QueryServiceConfigA"), (30, "QueryServiceLockStatusA"), (31, "StartServiceA"), (32, "GetServiceDisplayNameA"), (33, "GetServiceKeyNameA"), (34, "ScGetCurrentGroupStateW"), (35, "EnumServiceGroupW"), (36, "ChangeServiceConfig2A"), (37, "ChangeServiceConfig2W"), (38, "QueryServiceConfig2A"), (39, "QueryServiceConfig2W"), (40, "QueryServiceStatusEx"), (41, "EnumServicesStatusExA"), (42, "EnumServicesStatusExW"), (43, "ScSendTSMessage"), (44, "CreateServiceWOW64A"), (45, "CreateServiceWOW64W"), (46, "ScQueryServiceTagInfo"), (47, "NotifyServiceStatusChange"), (48, "GetNotifyResult"), (49, "CloseNotifyHandle"), (50, "ControlServiceExA"), (51, "ControlServiceExW"), (52, "ScSendPnPMessage"), (53, "ScValidatePnPService"), (54, "ScOpenServiceStatusHandle"), (56, "QueryServiceConfigEx"), (60, "CreateWowService"), (64, "OpenSCManager2")],
    },
    Known {
        uuid: "300f3532-38cc-11d0-a3f0-0020af6b0add",
        service: "trkwks",
        procedures: &[(12, "LnkSearchMachine")],
    },
    Known {
        uuid: "8fb6d884-2388-11d0-8c35-00c04fda2795",
        service: "W32Time",
        procedures: &[(0, "W32TimeSync"), (1, "W32TimeGetNetlogonServiceBits"), (2, "W32TimeQueryProviderStatus"), (3, "W32TimeQuerySource"), (4, "W32TimeQueryProviderConfiguration"), (5, "W32TimeQueryConfiguration"), (6, "W32TimeQueryStatus"), (7, "W32TimeLog")],
    },
    Known {
        uuid: "d95afe70-a6d5-4259-822e-2c84da1ddb0d",
        service: "WindowsShutdown",
        procedures: &[(0, "WsdrInitiateShutdown"), (1, "WsdrAbortShutdown")],
    },
    Known {
        uuid: "338cd001-2244-31f1-aaaa-900038001003",
        service: "winreg",
        procedures: &[(0, "OpenClassesRoot"), (1, "OpenCurrentUser"), (2, "OpenLocalMachine"), (3, "OpenPerformanceData"), (4, "OpenUsers"), (5, "BaseRegCloseKey"), (6, "BaseRegCreateKey"), (7, "BaseRegDeleteKey"), (8, "BaseRegDeleteValue"), (9, "BaseRegEnumKey"), (10, "BaseRegEnumValue"), (11, "BaseRegFlushKey"), (12, "BaseRegGetKeySecurity"), (13, "BaseRegLoadKey"), (14, "BaseRegNotifyChangeKeyValue"), (15, "BaseRegOpenKey"), (16, "BaseRegQueryInfoKey"), (17, "BaseRegQueryValue"), (18, "BaseRegReplaceKey"), (19, "BaseRegRestoreKey"), (20, "BaseRegSaveKey"), (21, "BaseRegSetKeySecurity"), (22, "BaseRegSetValue"), (23, "BaseRegUnLoadKey"), (24, "BaseInitiateSystemShutdown"), (25, "BaseAbortSystemShutdown"), (26, "BaseRegGetVersion"), (27, "OpenCurrentConfig"), (28, "OpenDynData"), (29, "BaseRegQueryMultipleValues"), (30, "BaseInitiateSystemShutdownEx"), (31, "BaseRegSaveKeyEx"), (32, "OpenPerformanceText"), (33, "OpenPerformanceNlsText"), (34, "BaseRegQueryMultipleValues2"), (35, "BaseRegDeleteKeyEx")],
    },
    Known {
        uuid: "45f52c28-7f9f-101a-b52b-08002b2efabe",
        service: "winspipe",
        procedures: &[(0, "R_WinsRecordAction"), (1, "R_WinsStatus"), (2, "R_WinsTrigger"), (3, "R_WinsDoStaticInit"), (4, "R_WinsDoScavenging"), (5, "R_WinsGetDbRecs"), (6, "R_WinsTerm"), (7, "R_WinsBackup"), (8, "R_WinsDelDbRecs"), (9, "R_WinsPullRange"), (10, "R_WinsSetPriorityClass"), (11, "R_WinsResetCounters"), (12, "R_WinsWorkerThdUpd"), (13, "R_WinsGetNameAndAdd"), (14, "R_WinsGetBrowserNames_Old"), (15, "R_WinsDeleteWins"), (16, "R_WinsSetFlags"), (17, "R_WinsGetBrowserNames"), (18, "R_WinsGetDbRecsByName"), (19, "R_WinsStatusNew"), (20, "R_WinsStatusWHdl"), (21, "R_WinsDoScavengingNew")],
    },
    Known {
        uuid: "6bffd098-a112-3610-9833-46c3f87e345a",
        service: "wkssvc",
        procedures: &[(0, "NetrWkstaGetInfo"), (1, "NetrWkstaSetInfo"), (2, "NetrWkstaUserEnum"), (3, "NetrWkstaUserGetInfo"), (4, "NetrWkstaUserSetInfo"), (5, "NetrWkstaTransportEnum"), (6, "NetrWkstaTransportAdd"), (7, "NetrWkstaTransportDel"), (8, "NetrUseAdd"), (9, "NetrUseGetInfo"), (10, "NetrUseDel"), (11, "NetrUseEnum"), (12, "NetrMessageBufferSend"), (13, "NetrWorkstationStatisticsGet"), (14, "NetrLogonDomainNameAdd"), (15, "NetrLogonDomainNameDel"), (16, "NetrJoinDomain"), (17, "NetrUnjoinDomain"), (18, "NetrValidateName"), (19, "NetrRenameMachineInDomain"), (20, "NetrGetJoinInformation"), (21, "NetrGetJoinableOUs"), (22, "NetrJoinDomain2"), (23, "NetrUnjoinDomain2"), (24, "NetrRenameMachineInDomain2"), (25, "NetrValidateName2"), (26, "NetrGetJoinableOUs2"), (27, "NetrAddAlternateComputerName"), (28, "NetrRemoveAlternateComputerName"), (29, "NetrSetPrimaryComputerName"), (30, "NetrEnumerateComputerNames"), (31, "NetrWorkstationResetDfsCache")],
    },
];
