resource "docker_container" "web" {
  name       = "web"
  image      = docker_image.web.image_id
  privileged = true
  capabilities {
    add  = ["SYS_ADMIN"]
    drop = ["ALL"]
  }
  network_mode = "host"
  pid_mode     = var.pid
  volumes {
    host_path      = "/var/run/docker.sock"
    container_path = "/var/run/docker.sock"
  }
  mounts {
    type   = "bind"
    source = "/etc"
    target = "/x"
    read_only = true
  }
  devices { 
    host_path = "/dev/sda" 
  }
  security_opts = ["apparmor:unconfined"]
}
resource "kubernetes_deployment_v1" "app" {
  metadata {
    name = "app"
  }
  spec {
    template {
      spec {
        host_pid     = true
        host_network = true
        container {
          name  = "c"
          image = var.image
          security_context {
            privileged = true
            capabilities {
              add = ["SYS_ADMIN"]
            }
          }
          volume_mount {
            name       = "root"
            mount_path = "/host"
          }
        }
        volume {
          name = "root"
          host_path {
            path = "/"
          }
        }
      }
    }
  }
}
resource "kubernetes_manifest" "m" {
  manifest = {
    apiVersion = "v1"
    kind       = "Pod"
    metadata   = { name = "p" }
    spec = {
      containers = [{ name = "c", image = "x", securityContext = { privileged = true } }]
    }
  }
}
resource "kubectl_manifest" "k" {
  yaml_body = <<YAML
apiVersion: v1
kind: Pod
metadata: {name: y}
spec:
  hostPID: true
  containers:
    - name: c
      image: x
      securityContext: {privileged: true}
YAML
}
resource "aws_ecs_task_definition" "t" {
  container_definitions = jsonencode([{
    name = "x"
    privileged = true
  }])
}
module "x" {
  source = "./x"
  privileged = true
}
