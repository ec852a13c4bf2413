terraform {
  required_providers {
    docker = { source = "kreuzwerker/docker", version = "~> 3.0" }
  }
}
provider "docker" {
  host = "unix:///var/run/docker.sock"
}
locals {
  names = [for n in var.names : upper(n) if n != ""]
  map   = { for k, v in var.x : k => v }
  cond  = var.a ? "x" : "y"
}
resource "docker_image" "nginx" { name = "nginx:latest" }
resource "docker_container" "web" {
  name  = "web-${var.env}"
  image = docker_image.nginx.image_id
  user  = "101"
  capabilities { drop = ["ALL"] }
  ports {
    internal = 80
    external = 8000
  }
  env = ["A=b", "C=${var.c}"]
  volumes {
    volume_name    = docker_volume.d.name
    container_path = "/data"
  }
  volumes {
    host_path      = "${path.cwd}/conf"
    container_path = "/etc/x"
    read_only      = true
  }
  networks_advanced { name = docker_network.n.name }
  labels {
    label = "a"
    value = "b"
  }
  lifecycle { ignore_changes = [image] }
  provisioner "local-exec" { command = "echo" }
  restart = "always"
}
resource "kubernetes_deployment" "app" {
  metadata {
    name = "app"
    labels = { app = "x" }
  }
  spec {
    replicas = var.n
    selector { match_labels = { app = "x" } }
    template {
      metadata { labels = { app = "x" } }
      spec {
        security_context {
          run_as_non_root = true
          run_as_user = 1000
          seccomp_profile { type = "RuntimeDefault" }
        }
        container {
          name  = "c"
          image = "nginx:${var.tag}"
          port { container_port = 80 }
          security_context {
            allow_privilege_escalation = false
            capabilities { drop = ["ALL"] }
          }
          dynamic "env" {
            for_each = var.env
            content {
              name = env.key
              value = env.value
            }
          }
          liveness_probe {
            http_get { 
               path = "/" 
               port = 80 
            }
          }
        }
      }
    }
  }
}
resource "aws_instance" "x" {
  ami = "x"
  user_data = <<-EOT
    #!/bin/sh
    echo "hi {"
  EOT
  tags = merge(local.tags, { Name = "x" })
}
output "x" { value = aws_instance.x.public_ip }
